"""Several scans of a patient as one answer: the mean of their probabilities."""

from __future__ import annotations

from dataclasses import replace

import torch

from crossd.evaluation.predictions import Predictions


def by_patient(predictions: Predictions) -> Predictions | None:
    """A row for each patient, in the order in which they appear: the mean of the probabilities of all scans.

    Returns:
        None where every patient has one scan, and where scans of a patient have different labels: then a scan is what
        is judged, as of one before and one after a treatment.

    >>> chances, targets = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]).double(), torch.eye(2)[[0, 0, 1]]
    >>> said = Predictions(["a1", "a2", "b"], ["a", "a", "b"], [""] * 3, chances, targets, ["no", "yes"], "multiclass")
    >>> joined = by_patient(said)
    >>> joined.cases, joined.probabilities[0].tolist() == chances[:2].mean(0).tolist()
    (['a', 'b'], True)
    """
    rows: dict[str, list[int]] = {}
    for row, patient in enumerate(predictions.patients):
        rows.setdefault(patient, []).append(row)
    targets = predictions.targets
    if len(rows) == len({*predictions.cases}) or any(
        not (targets[one] == targets[one[0]]).all() for one in rows.values()
    ):
        return None
    return replace(
        predictions,
        cases=list(rows),
        patients=list(rows),
        sources=[predictions.sources[one[0]] for one in rows.values()],
        probabilities=torch.stack([predictions.probabilities[one].mean(0) for one in rows.values()]),
        targets=torch.stack([targets[one[0]] for one in rows.values()]),
        columns=[predictions.columns[one[0]] for one in rows.values()] if predictions.columns else (),
    )
