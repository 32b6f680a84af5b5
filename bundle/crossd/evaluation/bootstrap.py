"""How far a metric may be off because the test set is small: intervals by drawing patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from crossd.errors import CrossDError


def bootstrap_intervals(
    statistic: Callable[[np.ndarray], dict[str, float]],
    patients: Sequence[str],
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float] | None]:
    """95 % percentile intervals of every value that `statistic` returns.

    Patients are drawn with replacement, each with all of its cases, since the cases of one patient are alike. Draws in
    which a value is nan (a class was not drawn) say nothing about it; where they are more than half, the interval is
    None. So it is for a single patient, of whom nothing is known about others.

    Source: Efron, Tibshirani, "An introduction to the bootstrap", 1993, section 13.3.

    Args:
        statistic: from the indices of the drawn cases to named values.
        patients: patient of each case.
        samples: how many draws.
        seed: of the draws.

    Raises:
        CrossDError: for less than 100 samples.

    >>> bootstrap_intervals(lambda drawn: {"constant": 2.0}, ["a", "b"])
    {'constant': (2.0, 2.0)}
    """
    if samples < 100:
        raise CrossDError(f"A 95 % interval needs at least 100 bootstrap samples, got {samples}. Pass 1000, say.")
    members: dict[str, list[int]] = {}
    for case, patient in enumerate(patients):
        members.setdefault(patient, []).append(case)
    groups = [np.array(cases) for cases in members.values()]
    if len(groups) == 1:
        return dict.fromkeys(statistic(groups[0]))
    random = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {}
    for _ in range(samples):
        chosen = random.integers(len(groups), size=len(groups))
        for name, value in statistic(np.concatenate([groups[group] for group in chosen])).items():
            draws.setdefault(name, []).append(value)
    return {name: _percentiles(np.array(values)) for name, values in draws.items()}


def _percentiles(values: np.ndarray) -> tuple[float, float] | None:
    defined = values[~np.isnan(values)]
    if len(defined) < len(values) / 2:
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)
