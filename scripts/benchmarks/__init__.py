"""What is measured, a folder a topic; `runs` is what the topics with stored runs share. See README.md."""
