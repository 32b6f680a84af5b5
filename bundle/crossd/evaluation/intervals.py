"""Metrics with their intervals: by the bootstrap, and exactly where all of a few patients are right or wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from crossd.cards.tasks import task_of
from crossd.evaluation.bootstrap import bootstrap_intervals
from crossd.evaluation.grades import grade_metrics
from crossd.evaluation.metrics import classification_metrics
from crossd.evaluation.predictions import Predictions
from crossd.evaluation.values import value_metrics

Figures = dict[str, float]
SHARES = ("sensitivity", "specificity", "ppv", "npv", "accuracy")


def figures_of(predictions: Predictions, prevalence: float | None = None) -> Figures:
    """All figures of the task: `classification_metrics`, `grade_metrics` or `value_metrics`."""
    task = task_of(predictions.task)
    if task.ordered:
        return grade_metrics(predictions)
    return classification_metrics(predictions, prevalence) if task.classifies else value_metrics(predictions)


def with_intervals(
    predictions: Predictions, samples: int, seed: int = 0, prevalence: float | None = None
) -> dict[str, dict[str, float | None]]:
    """Of each of `figures_of` its `value`, `low` and `high`, None where it is not defined.

    A figure of one patient with the class, or without it, has no interval. A share of patients that is 0 or 1 has the
    bound of Clopper and Pearson (1934), for there all draws of the bootstrap are alike.

    >>> import torch
    >>> right = Predictions.of(torch.eye(2).repeat(4, 1), torch.eye(2).repeat(4, 1), ["a", "b"], "multiclass")
    >>> with_intervals(right, 100)["sensitivity"]
    {'value': 1.0, 'low': 0.3976353643835253, 'high': 1.0}
    """

    def drawn(rows: np.ndarray) -> Figures:
        return figures_of(predictions.drawn(rows), prevalence)

    intervals = bootstrap_intervals(drawn, predictions.patients, samples, seed)
    behind, found = _patients_behind(predictions) if task_of(predictions.task).classifies else {}, {}
    for name, value in figures_of(predictions, prevalence).items():
        low, high = intervals[name] or (None, None)
        patients = behind.get(name, math.inf)
        if math.isnan(value) or patients < 2:
            low = high = None
        elif low == high and value in (0, 1) and name.split("_")[0] in SHARES and patients < math.inf:
            bound = 0.025 ** (1 / patients)
            low, high = (bound, 1.0) if value == 1 else (0.0, 1 - bound)
        found[name] = {"value": None if math.isnan(value) else value, "low": low, "high": high}
    return found


def _patients_behind(predictions: Predictions) -> dict[str, int]:
    """How many patients the figures of a class rest on; of an area the fewer of those with the class and without."""
    p, alone = predictions, predictions.point.positive is not None
    found = {"accuracy": len({*p.patients})} if p.task != "multilabel" else {}
    for name, index in p.shown.items():
        end = "" if alone else f"_{name}"
        with_it, without = (_patients(p.patients, p.targets[:, index], wanted) for wanted in (1, 0))
        said, not_said = (_patients(p.patients, p.decided[:, index], wanted) for wanted in (1, 0))
        areas = dict.fromkeys((f"auc{end}", f"average_precision{end}"), min(with_it, without))
        found |= {f"sensitivity{end}": with_it, f"specificity{end}": without} | areas
        found |= {f"ppv{end}": said, f"npv{end}": not_said}
    return found


def _patients(patients: Sequence[str], values: Tensor, wanted: int) -> int:
    return len({patient for patient, one in zip(patients, values.tolist(), strict=True) if one == wanted})
