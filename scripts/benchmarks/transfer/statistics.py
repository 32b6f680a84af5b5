"""The paired comparison of methods: a bootstrap over seeds and test cases together, corrected for many baselines."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from crossd.benchmark.transfer.tested import Tested
from crossd.errors import CrossDError

K = TypeVar("K", bound=Hashable)
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


def _wins(tested: Tested) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each class the cases of it, the others, and who of them is ranked higher: 1, 0, or 0.5 for equals."""
    log_odds = tested.log_odds
    classes = log_odds.shape[1]
    columns = [1] if classes == 2 else range(classes)  # of two classes the one's AUC is the other's
    found = []
    for column in columns:
        score = log_odds[:, column]
        mine, others = np.flatnonzero(tested.labels == column), np.flatnonzero(tested.labels != column)
        if len(mine) and len(others):
            gap = score[mine][:, None] - score[others][None]
            found.append((mine, others, ((gap > 0) + 0.5 * (gap == 0)).astype(np.float32)))
    return found


def weighted_aucs(tested: Tested, weights: np.ndarray) -> np.ndarray:
    """Macro AUC of one run under several weightings of its cases.

    Args:
        tested: the run.
        weights: `(weightings, cases)`, how often each case is counted.

    Returns:
        `(weightings,)`; nan where a weighting leaves no pair.

    >>> run = Tested(np.array([0, 1, 1]), np.array([[2.0, 0.0], [3.0, 0.0], [0.0, 1.0]]), tuple("abc"))
    >>> weighted_aucs(run, np.array([[1, 1, 1], [1, 1, 3]])).tolist()
    [0.5, 0.75]
    """
    values = []
    for mine, others, wins in _wins(tested):
        left, right = weights[:, mine].astype(np.float32), weights[:, others].astype(np.float32)
        pairs = left.sum(1) * right.sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            values.append(((left @ wins) * right).sum(1).astype(float) / pairs)
    return np.stack(values).mean(0)


def paired_difference(
    one: Sequence[Tested], other: Sequence[Tested], samples: int = SAMPLES, seed: int = 0
) -> Difference:
    """How much larger the mean test AUC of one method is than that of another, on the same seeds and test cases.

    Each draw takes seeds with replacement and, independently, patients with replacement, the same for both methods;
    so the interval covers both what training varies and that other patients might have been tested. p is the two-sided
    bootstrap probability of the other sign, `2 · (1 + draws on the other side) / (1 + draws)`.

    Source: Efron, Tibshirani, "An introduction to the bootstrap", 1993, chapters 8 and 16; crossed seeds and cases
    as in Owen, "The pigeonhole bootstrap", 2007.

    Args:
        one, other: a run for each seed, in the same order.
        samples: bootstrap draws.
        seed: of the draws.

    Raises:
        CrossDError: when the runs are not pairs on the same cases.
    """
    paired = len(one) == len(other) and len(one) > 0
    if not paired or any(not np.array_equal(a.labels, b.labels) for a, b in zip(one, other, strict=True)):
        raise CrossDError(
            f"Methods are compared on the same seeds and test cases; got {len(one)} and {len(other)} runs. Take the "
            "seeds that both have."
        )
    random = np.random.default_rng(seed)
    same_test = all(np.array_equal(a.labels, one[0].labels) for a in one)
    weights = _patients_drawn(one[0], samples, random)
    gaps, observed = [], []
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        if number and not same_test:  # folds: each run has test cases of its own
            weights = _patients_drawn(a, samples, random)
        gaps.append(weighted_aucs(a, weights) - weighted_aucs(b, weights))
        whole = np.ones((1, len(a.labels)))
        observed.append(float((weighted_aucs(a, whole) - weighted_aucs(b, whole))[0]))
    return over_seeds(np.stack(gaps, 1), observed, random)


def _patients_drawn(tested: Tested, samples: int, random: np.random.Generator) -> np.ndarray:
    """How often each case is counted, `(samples, cases)`: patients with replacement, each with all cases."""
    groups = {patient: index for index, patient in enumerate(dict.fromkeys(tested.patients))}
    of_case = np.array([groups[patient] for patient in tested.patients])
    times = random.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=samples)
    return np.asarray(times[:, of_case])


def over_seeds(gaps: np.ndarray, observed: Sequence[float], random: np.random.Generator) -> Difference:
    """A difference from what draws of cases gave in each run, by drawing the runs too.

    Args:
        gaps: `(draws of cases, runs)`.
        observed: of each run, on the cases as they are.
        random: draws.
    """
    samples, runs = gaps.shape
    drawn = random.integers(runs, size=(samples, runs))
    draws = np.take_along_axis(gaps, drawn, 1).mean(1)
    draws = draws[~np.isnan(draws)]
    low, high = np.quantile(draws, [0.025, 0.975])
    sides = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    p = min(1.0, 2 * (1 + sides) / (1 + len(draws)))
    return Difference(float(np.mean(observed)), float(low), float(high), p, runs)


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
