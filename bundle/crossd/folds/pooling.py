"""What the folds said of the cases that they had not seen: one table, and figures whose intervals know of patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from crossd.cards.tasks import task_of
from crossd.evaluation import Predictions, bootstrap_intervals, evaluate
from crossd.evaluation.metrics import class_aucs, nan_mean


def pooled(parts: Sequence[Predictions]) -> tuple[Predictions, list[int]]:
    """All of them as one, and of each row which part it is from."""
    joined = Predictions(
        [case for part in parts for case in part.cases],
        [patient for part in parts for patient in part.patients],
        [source for part in parts for source in part.sources],
        torch.cat([part.probabilities for part in parts]),
        torch.cat([part.targets for part in parts]),
        parts[0].class_names,
        parts[0].task,
    )
    return joined, [number for number, part in enumerate(parts) for _ in part.cases]


def judged(
    predictions: Predictions, folds: Sequence[int], repeats: int = 1, samples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """The report of `crossd.evaluation.evaluate` on out-of-fold predictions, and the AUC within folds.

    Every row was said by a model that had not seen its patient. The bootstrap draws patients, each with all its rows of
    all repeats, so that repeats make no interval narrower than the patients allow. `auc` compares cases of different
    folds, whose models may differ in scale; `auc_within_folds`, the mean of the folds' AUCs, does not. A grade or
    a number has a unit, so there is no such figure of them.

    Args:
        predictions: of all folds, a row for each case and repeat.
        folds: of each row.
        repeats: how many rows a case has.

    Source: Forman and Scholz, "Apples-to-apples in cross-validation studies", SIGKDD Explorations 12 (2010).
    """
    report = evaluate(predictions, samples, seed)
    task = task_of(predictions.task)
    of_all: dict[str, Any] = {"cases": len({*predictions.cases}), "folds": len({*folds}), "repeats": repeats}
    if not task.classifies:
        return {**report, **of_all}
    of_all["cases_per_class"] = {name: count // repeats for name, count in report["cases_per_class"].items()}
    if task.ordered:
        return {**report, **of_all}
    of_fold = np.asarray(folds)

    def within(drawn: np.ndarray) -> dict[str, float]:
        parts = [torch.from_numpy(drawn[of_fold[drawn] == fold]) for fold in np.unique(of_fold)]
        aucs = [nan_mean(class_aucs(predictions.probabilities[p], predictions.targets[p])) for p in parts if len(p)]
        return {"auc": nan_mean(aucs)}

    value = within(np.arange(len(of_fold)))["auc"]
    low, high = bootstrap_intervals(within, predictions.patients, samples, seed)["auc"] or (None, None)
    figure = {"value": None if np.isnan(value) else value, "low": low, "high": high}
    return {**report, **of_all, "metrics": {"auc_within_folds": figure, **report["metrics"]}}
