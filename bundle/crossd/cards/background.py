"""What surrounds a volume: the darkest intensity, as the network of a card gets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def background(card_input: Mapping[str, Any]) -> float | list[float]:
    """The darkest intensity as the network gets it: 0 on the card's [0, 1] scale, normalised; one number or one each.

    >>> background({"mean": 0.5, "std": 0.25})
    -2.0
    >>> background({"mean": [0.5, 0.4], "std": [0.25, 0.2]})
    [-2.0, -2.0]
    """
    mean, std = card_input["mean"], card_input["std"]
    if isinstance(mean, Sequence):
        stds = std if isinstance(std, Sequence) else [std] * len(mean)
        return [(0.0 - m) / s for m, s in zip(mean, stds, strict=True)]
    return (0.0 - mean) / std


def mean_background(card_input: Mapping[str, Any]) -> float:
    """`background` as one number, for inferers of MONAI that pad all channels alike.

    >>> mean_background({"mean": [0.5, 0.4], "std": [0.25, 0.4]})
    -1.5
    """
    value = background(card_input)
    return value if isinstance(value, float) else sum(value) / len(value)
