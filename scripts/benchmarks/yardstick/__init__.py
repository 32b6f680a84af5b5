"""How a volume is shown to frozen 2D weights, and what a regression on few labels reaches with it."""
