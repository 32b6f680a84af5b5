"""How far a metric may be off because the test set is small: bootstrap intervals over patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from crossd.errors import CrossDError


def bootstrap_intervals(
    statistic: Callable[[np.ndarray], dict[str, float]],
    patients: Sequence[str],
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float] | None]:
    """Percentile intervals of every value that `statistic` returns.

    Patients are drawn with replacement, each with all of its cases, since the cases of one patient are alike. Draws in
    which a value is nan (a class was not drawn) say nothing about it; where they are more than half, the interval is
    None.

    Source: Efron, Tibshirani, "An introduction to the bootstrap", 1993, section 13.3.

    Args:
        statistic: from the indices of the drawn cases to named values.
        patients: patient of each case.
        samples: how many draws.
        seed: of the draws.
        level: probability that the interval is to cover.

    Raises:
        CrossDError: for less than 100 samples or a level outside (0, 1).

    >>> bootstrap_intervals(lambda drawn: {"constant": 2.0}, ["a", "b"])
    {'constant': (2.0, 2.0)}
    """
    if samples < 100:
        raise CrossDError(f"A 95 % interval needs at least 100 bootstrap samples, got {samples}. Pass 1000, say.")
    if not 0 < level < 1:
        raise CrossDError(f"The level of an interval lies between 0 and 1, got {level}. Pass 0.95, say.")
    members: dict[str, list[int]] = {}
    for case, patient in enumerate(patients):
        members.setdefault(patient, []).append(case)
    groups = [np.array(cases) for cases in members.values()]
    random = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {}
    for _ in range(samples):
        chosen = random.integers(len(groups), size=len(groups))
        for name, value in statistic(np.concatenate([groups[group] for group in chosen])).items():
            draws.setdefault(name, []).append(value)
    return {name: _percentiles(np.array(values), level) for name, values in draws.items()}


def _percentiles(values: np.ndarray, level: float) -> tuple[float, float] | None:
    defined = values[~np.isnan(values)]
    if len(defined) < len(values) / 2:
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
