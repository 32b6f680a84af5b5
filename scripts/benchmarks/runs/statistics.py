"""Differences of paired runs: what draws of seeds say of them, corrected for many comparisons."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from crossd.errors import CrossDError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
SAMPLES = 2000
FEWEST = 3  # runs of each method, below which no p is given: they say too little of what training varies


@dataclass(frozen=True)
class Difference:
    """Of means of a test figure: the value, its 95 % interval, the two-sided p, and p after correction (None before).

    `runs` of each method are behind it; with fewer than `FEWEST` the value alone is shown.
    """

    value: float
    low: float
    high: float
    p: float
    runs: int
    corrected: float | None = None

    def cells(self) -> str:
        """Three cells of a table.

        >>> Difference(0.1, 0.05, 0.15, 0.01, 5, 0.02).cells(), Difference(0.1, 0.05, 0.15, 0.01, 1).cells()
        ('+0.100 (+0.050 to +0.150) | 0.010 | 0.020', '+0.100 | – | –')
        """
        if self.runs < FEWEST:
            return f"{self.value:+.3f} | – | –"
        corrected = "–" if self.corrected is None else f"{self.corrected:.3f}"
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f}) | {self.p:.3f} | {corrected}"


def with_correction(gaps: Mapping[K, Difference], among: Collection[K]) -> dict[K, Difference]:
    """The differences, with p corrected by Holm's procedure over those of `among` that have enough runs."""
    corrected = holm({name: gap.p for name, gap in gaps.items() if name in among and gap.runs >= FEWEST})
    return {name: replace(gap, corrected=corrected.get(name)) for name, gap in gaps.items()}


def over_seeds(gaps: np.ndarray, observed: Sequence[float], random: np.random.Generator) -> Difference:
    """A difference from what draws of cases gave in each run, by drawing the runs too.

    Args:
        gaps: `(draws of cases, runs)`.
        observed: of each run, on the cases as they are.
        random: draws.
    """
    samples, runs = gaps.shape
    drawn = random.integers(runs, size=(samples, runs))
    return of_draws(np.take_along_axis(gaps, drawn, 1).mean(1), float(np.mean(observed)), runs)


def of_draws(draws: np.ndarray, observed: float, runs: int) -> Difference:
    """A difference from its draws, `(draws,)`; those without a value, as where a class was not drawn, do not count."""
    draws = draws[~np.isnan(draws)]
    low, high = np.quantile(draws, [0.025, 0.975])
    sides = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    p = min(1.0, 2 * (1 + sides) / (1 + len(draws)))
    return Difference(observed, float(low), float(high), p, runs)


def check_pairs(one: Sequence[T], other: Sequence[T], alike: Callable[[T, T], bool]) -> None:
    """Hold the runs of two methods to come in pairs on the same test cases.

    Raises:
        CrossDError: when they do not.
    """
    if not one or len(one) != len(other) or not all(map(alike, one, other)):
        raise CrossDError(
            f"Methods are compared on the same seeds and test cases; got {len(one)} and {len(other)} runs. Take the "
            "seeds that both have."
        )


def holm(values: Mapping[K, float]) -> dict[K, float]:
    """p values corrected for being several, by Holm's step-down procedure.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 1979.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    corrected: dict[K, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(values, key=lambda name: values[name])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in values}
