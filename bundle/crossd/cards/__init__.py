"""What a card is: the rules it keeps, and where a new model's comes from: its weights and its data.

Nothing is imported here: `rules` stands left of `checkpoints`, which hold cards, and the rest right of it.
"""
