"""How good probabilities are, beside other ones of the same cases: figures with intervals by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from crossd.evaluation import Predictions, bootstrap_intervals
from crossd.evaluation.metrics import class_aucs, nan_mean
from crossd.probe.verdict import Figure


def predictions_of(
    cases: Sequence[Mapping[str, Any]], probabilities: np.ndarray, targets: np.ndarray, names: Sequence[str], task: str
) -> Predictions:
    """Probabilities and targets `(cases, classes)` of cases, as `crossd.evaluation` takes them."""
    called, patients, sources = ([str(case[key]) for case in cases] for key in ("case", "patient", "source"))
    return Predictions(
        called, patients, sources, torch.from_numpy(probabilities), torch.from_numpy(targets), list(names), task
    )


def figure(report: Mapping[str, Any], name: str = "auc") -> Figure:
    """One of `crossd.evaluation.evaluate`."""
    entry = report["metrics"][name]
    return Figure(float("nan") if entry["value"] is None else entry["value"], entry["low"], entry["high"])


def auc_ahead(one: Predictions, other: Predictions, samples: int = 1000, seed: int = 0) -> Figure:
    """The AUC of one minus that of another on the same cases; the bootstrap draws patients for both together.

    >>> cases = [{"case": str(i), "patient": str(i), "source": ""} for i in range(8)]
    >>> targets = right = np.eye(2)[[0, 1] * 4]
    >>> others = targets, ["a", "b"], "multiclass"
    >>> str(auc_ahead(*(predictions_of(cases, rows, *others) for rows in (right, np.full((8, 2), 0.5)))))
    '0.50 (95 % 0.50 to 0.50)'
    """

    def difference(drawn: np.ndarray) -> dict[str, float]:
        chosen = torch.from_numpy(drawn)
        aucs = [nan_mean(class_aucs(p.probabilities[chosen], p.targets[chosen])) for p in (one, other)]
        return {"auc": aucs[0] - aucs[1]}

    low, high = bootstrap_intervals(difference, one.patients, samples, seed)["auc"] or (None, None)
    return Figure(difference(np.arange(len(one.cases)))["auc"], low, high)
