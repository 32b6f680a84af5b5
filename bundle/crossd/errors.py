"""The one exception class of this library."""


class CrossDError(ValueError):
    """A rule of this library was broken.

    Every message states the rule, the value that broke it and the remedy, in that order.
    """
