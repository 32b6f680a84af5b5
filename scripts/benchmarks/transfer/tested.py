"""The test cases of a run: what they are labelled, what the network said, and how that is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

DIGITS = 6  # significant ones, of stored logits
SMALLEST = 1e-6  # what a probability of 0 is taken for in older files, which hold five decimals of probabilities


@dataclass(frozen=True)
class Tested:
    """Labels `(cases,)`, logits `(cases, classes)`, and whose cases they are.

    Logits, not probabilities: of a network that is sure of many cases, probabilities round to 1 and no longer say which
    case it is surest of, which is what an AUC asks.
    """

    __test__ = False  # for pytest, which takes the name for that of a test

    labels: np.ndarray
    logits: np.ndarray
    patients: tuple[str, ...]

    @property
    def probabilities(self) -> np.ndarray:
        """`(cases, classes)`.

        >>> Tested(np.array([1]), np.array([[0.0, 0.0]]), ("a",)).probabilities.tolist()
        [[0.5, 0.5]]
        """
        powers = np.exp(self.logits - self.logits.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))

    @property
    def log_odds(self) -> np.ndarray:
        """`(cases, classes)`, of each class against all others: ordered as the probabilities, without their rounding.

        >>> Tested(np.array([1]), np.array([[0.0, 90.0]]), ("a",)).log_odds.tolist()
        [[-90.0, 90.0]]
        """
        columns = []
        for index in range(self.logits.shape[1]):
            others = np.delete(self.logits, index, axis=1)
            columns.append(self.logits[:, index] - np.logaddexp.reduce(others, axis=1))
        return np.stack(columns, axis=1)


def as_tested(labels: Tensor, logits: Tensor, patients: Sequence[str]) -> Tested:
    """From tensors.

    >>> import torch
    >>> as_tested(torch.tensor([1]), torch.tensor([[0.25, 0.75]]), ["a"]).logits.tolist()
    [[0.25, 0.75]]
    """
    return Tested(labels.cpu().numpy(), logits.double().cpu().numpy(), tuple(patients))


def to_json(tested: Tested) -> dict[str, Any]:
    """What is stored of a run's test cases; of two classes one number a case, the second logit minus the first.

    >>> to_json(Tested(np.array([1, 0]), np.array([[0.5, 1.5], [0.0, -2.0]]), ("a", "a")))
    {'labels': [1, 0], 'logits': [1.0, -2.0], 'patients': [0, 0]}
    """
    logits = tested.logits.astype(float)
    values: Any = (logits[:, 1] - logits[:, 0]).tolist() if logits.shape[1] == 2 else logits.tolist()
    stored = {"labels": tested.labels.tolist(), "logits": _rounded(values)}
    if len(set(tested.patients)) < len(tested.patients):
        numbers = {patient: index for index, patient in enumerate(dict.fromkeys(tested.patients))}
        stored["patients"] = [numbers[patient] for patient in tested.patients]
    return stored


def from_json(stored: Mapping[str, Any]) -> Tested:
    """The inverse; older files hold probabilities, and labels as one word of digits.

    >>> from_json({"labels": "10", "probabilities": [0.5, 0.25]}).probabilities.round(3).tolist()
    [[0.5, 0.5], [0.75, 0.25]]
    """
    if "logits" in stored:
        logits = np.array(stored["logits"], dtype=float)
        if logits.ndim == 1:
            logits = np.stack([np.zeros_like(logits), logits], 1)
    else:
        values = np.array(stored["probabilities"], dtype=float)
        values = np.stack([1 - values, values], 1) if values.ndim == 1 else values
        logits = np.log(values.clip(SMALLEST, 1))
    patients = stored.get("patients", range(len(logits)))
    return Tested(np.array([int(label) for label in stored["labels"]]), logits, tuple(map(str, patients)))


def _rounded(values: Any) -> Any:
    return [_rounded(value) for value in values] if isinstance(values, list) else float(f"{values:.{DIGITS}g}")
