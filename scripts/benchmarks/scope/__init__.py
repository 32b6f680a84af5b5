"""Which detector tells that a case is unlike the training cases of the shipped model."""
