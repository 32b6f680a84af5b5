"""The paired comparison of methods by AUC: a bootstrap over seeds and test cases together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scripts.benchmarks.runs.statistics import SAMPLES, Difference, check_pairs, over_seeds
from scripts.benchmarks.transfer.tested import Tested


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
    check_pairs(one, other, lambda a, b: np.array_equal(a.labels, b.labels))
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
