"""Whether `crossd watch` loses nothing and stays small while many senders hold associations at once."""
