"""What is predicted, classes or a number: how cases are shared out, what outputs say, and how good that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossd.cards.tasks import task_of
from crossd.data.numbers import value_kinds

Array = np.ndarray


@dataclass(frozen=True)
class Classes:
    """Classes of which one is true, or any number.

    Attributes:
        task: `"multiclass"`, `"multilabel"` or `"ordinal"`.
    """

    task: str

    def kinds(self, targets: Array, patients: Sequence[str], folds: int) -> list[str]:
        """Of each case what is shared out alike among folds: its class, or its combination of classes."""
        return [" ".join(map(str, np.flatnonzero(target))) for target in targets]

    def fold_count(self, targets: Array, patients: Sequence[str], folds: int) -> int:
        """As many as are asked for, or as the rarest class has patients; 2 at least."""
        fewest = min((len(found) for found in patients_of_classes(targets, patients) if found), default=2)
        return max(2, min(folds, fewest, len({*patients})))

    def answers(self, outputs: Array) -> Array:
        """Probabilities of logits `(cases, classes)`."""
        if self.task == "multilabel":
            return np.asarray(1 / (1 + np.exp(-outputs)))
        powers = np.exp(outputs - outputs.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))

    def scores(self, outputs: Array, targets: Array) -> Array:
        """Log-likelihood of each case; in their mean each of classes that exclude each other has the same weight."""
        chances = np.clip(self.answers(outputs), 1e-6, 1 - 1e-6)
        if self.task == "multilabel":
            return np.asarray(np.where(targets > 0, np.log(chances), np.log(1 - chances)).mean(1))
        label = targets.argmax(1)
        _, kinds, counts = np.unique(label, return_inverse=True, return_counts=True)
        return np.asarray(np.log(chances)[targets > 0] * len(label) / (len(counts) * counts[kinds]))


@dataclass(frozen=True)
class Values:
    """A number; targets are `(cases, 1)`."""

    def kinds(self, targets: Array, patients: Sequence[str], folds: int) -> list[str]:
        """Of each case the quantile bin of its patient."""
        return [str(kind) for kind in value_kinds(targets[:, 0].tolist(), patients, folds)]

    def fold_count(self, targets: Array, patients: Sequence[str], folds: int) -> int:
        """As many as are asked for, or as there are patients."""
        return max(2, min(folds, len({*patients})))

    def answers(self, outputs: Array) -> Array:
        """The outputs are the numbers."""
        return outputs

    def scores(self, outputs: Array, targets: Array) -> Array:
        """Of each case its part of R², which is their mean, of cases that the fits have not seen.

        >>> Values().scores(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [6.0]])).mean().round(3)
        np.float64(0.357)
        """
        spread = np.square(targets - targets.mean()).mean()
        return np.asarray(1 - np.square(targets - outputs)[:, 0] / spread)


def outcome_of(task: str) -> Classes | Values:
    """That of a card's task."""
    return Classes(task) if task_of(task).classifies else Values()


def patients_of_classes(targets: Array, patients: Sequence[str]) -> list[set[str]]:
    """The patients with a case of each class.

    >>> [sorted(found) for found in patients_of_classes(np.array([[1, 0], [1, 0], [0, 1]]), ["a", "a", "b"])]
    [['a'], ['b']]
    """
    return [{patients[int(index)] for index in np.flatnonzero(column)} for column in targets.T]
