"""The contrasts of the protocol, by task and as the mean over tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.benchmarks.runs.statistics import SAMPLES, Difference, of_draws, over_seeds, with_correction
from scripts.benchmarks.transfer.statistics import weighted_aucs
from scripts.benchmarks.transfer.tested import Tested, from_json

CONTRASTS = {
    "A": ("crossd-volume", "i3d-mean"),
    "A2": ("crossd-live", "i3d-mean"),
    "B": ("multiview", "slices"),
}
MEAN = "mean over tasks"
COUNTED = ("acdc", "hippocampusmoved", "vesselmnist3d", "adrenalmnist3d")  # in the mean; `order` is a control
Runs = Mapping[str, Mapping[str, Mapping[int, Tested]]]


def runs_of(lines: Sequence[Mapping[str, Any]], labels: str, part: str) -> Runs:
    """By task, arm and seed what was said of the cases of a part."""
    found: dict[str, dict[str, dict[int, Tested]]] = {}
    for line in lines:
        if line.get("labels") == labels and part in line:
            found.setdefault(line["task"], {}).setdefault(line["arm"], {})[line["seed"]] = from_json(line[part])
    return found


def auc(tested: Tested) -> float:
    """Macro, one class against the rest.

    >>> auc(Tested(np.array([0, 1]), np.array([[1.0, 0.0], [0.0, 1.0]]), ("a", "b")))
    1.0
    """
    return float(weighted_aucs(tested, np.ones((1, len(tested.labels))))[0])


def contrasts(runs: Runs) -> dict[str, dict[str, Difference]]:
    """By contrast, its difference on each task (Holm over tasks) and that of the mean over tasks (over contrasts)."""
    found: dict[str, dict[str, Difference]] = {}
    means = {}
    for name, (one, other) in CONTRASTS.items():
        drawn = {task: _draws(arms[one], arms[other]) for task, arms in runs.items() if one in arms and other in arms}
        by_task = {task: over_seeds(gaps, observed, _random(1)) for task, (gaps, observed) in drawn.items()}
        found[name] = with_correction(by_task, by_task)
        counted = [drawn[task] for task in COUNTED if task in drawn]
        if counted:
            means[name] = _of_mean(counted)
    for name, difference in with_correction(means, means).items():
        found[name][MEAN] = difference
    return found


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _draws(one: Mapping[int, Tested], other: Mapping[int, Tested]) -> tuple[np.ndarray, list[float]]:
    """Differences `(draws of patients, seeds)`, the same patients of all seeds, and those that were seen."""
    random, gaps, observed = _random(0), [], []
    seeds = sorted(set(one) & set(other))
    patients = sorted({patient for seed in seeds for patient in one[seed].patients})
    times = random.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), size=SAMPLES)
    index = {patient: number for number, patient in enumerate(patients)}
    for seed in seeds:
        weights = times[:, [index[patient] for patient in one[seed].patients]]
        gaps.append(weighted_aucs(one[seed], weights) - weighted_aucs(other[seed], weights))
        observed.append(auc(one[seed]) - auc(other[seed]))
    return np.stack(gaps, 1), observed


def _of_mean(drawn: Sequence[tuple[np.ndarray, list[float]]]) -> Difference:
    """Of the mean over tasks: patients and seeds are drawn for each task by itself."""
    random, samples = _random(2), drawn[0][0].shape[0]
    total = np.zeros(samples)
    for gaps, _ in drawn:
        seeds = random.integers(gaps.shape[1], size=gaps.shape)
        total += np.take_along_axis(gaps, seeds, 1).mean(1) / len(drawn)
    observed = float(np.mean([np.mean(values) for _, values in drawn]))
    return of_draws(total, observed, min(gaps.shape[1] for gaps, _ in drawn))
