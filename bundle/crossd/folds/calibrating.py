"""One temperature for all folds, from what each said of cases that it had not seen; alone none may have enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from crossd.cards.operating_point import FEWEST
from crossd.evaluation import Predictions
from crossd.training.calibration import changes, fit_temperature, tempered

PARTS = 5  # of the patients


def calibrated_across(predictions: Predictions) -> tuple[Predictions, dict[str, Any]] | None:
    """Out-of-fold probabilities at temperatures that other patients' cases gave, and a card's entry `calibration`.

    The entry's `temperature`, of all cases, is for the model of all folds. Its figures `after`, and the probabilities,
    are of temperatures fitted without the cases of a fifth of the patients each, so they are fair to it.

    Args:
        predictions: of all folds, at temperature 1.

    Returns:
        None where a class has, or lacks, fewer than `FEWEST` cases without such a fifth.
    """
    task, said, targets = predictions.task, predictions.probabilities, predictions.targets
    patients = {patient: number % PARTS for number, patient in enumerate(dict.fromkeys(predictions.patients))}
    part = np.array([patients[patient] for patient in predictions.patients])
    others = [part != number for number in np.unique(part)]
    if min(min(int(count[rows].sum(0).min()) for count in (targets, 1 - targets)) for rows in others) < FEWEST:
        return None
    after = said.double().clone()
    for rows in others:
        after[~rows] = tempered(said[~rows], task, _fitted(said[rows], targets[rows], task))
    figures = changes({"before": said.double(), "after": after}, targets, task)
    entry = {"temperature": _fitted(said, targets, task), **figures}
    return replace(predictions, probabilities=after.to(said)), entry


def _fitted(said: Any, targets: Any, task: str) -> float:
    return fit_temperature(lambda degree: tempered(said, task, degree), targets, task)
