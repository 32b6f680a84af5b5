"""The paired comparison of methods: a bootstrap over seeds and test cases together, corrected for many baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossd.benchmark.transfer.store import Tested
from crossd.errors import CrossDError

SAMPLES = 2000


@dataclass(frozen=True)
class Difference:
    """Of mean test AUC: the value, its 95 % interval, the two-sided p, and p after correction (None before)."""

    value: float
    low: float
    high: float
    p: float
    corrected: float | None = None


def _wins(tested: Tested) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each class the cases of it, the others, and who of them is ranked higher: 1, 0, or 0.5 for equals."""
    classes = tested.probabilities.shape[1]
    columns = [1] if classes == 2 else range(classes)  # of two classes the one's AUC is the other's
    found = []
    for column in columns:
        score = tested.probabilities[:, column]
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

    >>> run = Tested(np.array([0, 1, 1]), np.array([[0.8, 0.2], [0.9, 0.1], [0.3, 0.7]]), tuple("abc"))
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
    cases = len(one[0].labels)
    same_test = all(np.array_equal(a.labels, one[0].labels) for a in one)
    groups = {patient: index for index, patient in enumerate(dict.fromkeys(one[0].patients))}
    of_case = np.array([groups[patient] for patient in one[0].patients])
    times = random.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=samples)
    weights = times[:, of_case]
    gaps, observed = [], []
    for a, b in zip(one, other, strict=True):
        if not same_test:  # folds: each run has test cases of its own
            cases = len(a.labels)
            weights = random.multinomial(cases, np.full(cases, 1 / cases), size=samples)
        gaps.append(weighted_aucs(a, weights) - weighted_aucs(b, weights))
        whole = np.ones((1, cases))
        observed.append(float((weighted_aucs(a, whole) - weighted_aucs(b, whole))[0]))
    return over_seeds(np.stack(gaps, 1), observed, random)


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
    return Difference(float(np.mean(observed)), float(low), float(high), p)


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """p values corrected for being several, by Holm's step-down procedure.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 1979.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    corrected: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(values, key=lambda name: values[name])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in values}
