"""Probabilities that were as often right, on validation cases, as they say: the entry `isotonic` of a card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossd.cards.tasks import task_of

_Rule = Callable[[str, Any, bool, str], None]
Points = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Isotonic:
    """A rising curve for each class, of the probability that a case is of it; of classes that exclude each other the
    values are divided by their sum.

    Source: Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD
    2002.

    Attributes:
        task: of the card.
        points: of each class, in the order of the outputs, what was said, rising, and what is meant by it.

    >>> curve = Isotonic("multiclass", [[[0.0, 1.0], [0.1, 0.7]], [[0.0, 1.0], [0.3, 0.9]]])
    >>> curve(torch.tensor([0.5, 0.5]).double()).round(decimals=3).tolist()
    [0.4, 0.6]
    """

    task: str
    points: Sequence[Points]

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Isotonic | None:
        """That of a card that keeps the rules; None where it has none."""
        entry = card.get("isotonic")
        return None if entry is None else cls(card["task"], [entry[name] for name in card["class_names"]])

    @classmethod
    def fit(cls, task: str, said: Tensor, meant: Tensor) -> Isotonic:
        """By scikit-learn, of what was said of cases and what should have been, both `(cases, classes)`."""
        from sklearn.isotonic import IsotonicRegression

        def points(said: np.ndarray, meant: np.ndarray) -> Points:
            curve = IsotonicRegression(out_of_bounds="clip").fit(said, meant)
            return [curve.X_thresholds_.tolist(), curve.y_thresholds_.tolist()]

        return cls(task, [points(*one) for one in zip(said.double().numpy().T, meant.double().numpy().T, strict=True)])

    def __call__(self, said: Tensor) -> Tensor:
        """Probabilities `(…, classes)`; below the first point and above the last they are those of these."""
        both = zip(said.unbind(-1), self.points, strict=True)
        columns = [np.interp(one.double().numpy(), x, y) for one, (x, y) in both]
        found = torch.from_numpy(np.stack(columns, -1)).to(said)
        return found / found.sum(-1, keepdim=True) if task_of(self.task).exclusive else found

    def entry(self, class_names: Sequence[str]) -> dict[str, Any]:
        """The card's entry, plain JSON."""
        return {name: [list(part) for part in of] for name, of in zip(class_names, self.points, strict=True)}


def check_isotonic(entry: Any, class_names: Sequence[str], rule: _Rule) -> None:
    """Refuse an entry that `Isotonic.of` could not take.

    Args:
        entry: `isotonic` of a card.
        rule: of `crossd.cards.rules`: entry, value, whether it is kept, and what it should be.
    """
    kept = isinstance(entry, dict) and {*entry} == {*class_names} and all(map(_are_points, entry.values()))
    rule("isotonic", entry, kept, "rising numbers, and as many in 0 to 1 that do not fall and are above 0, by class")


def _are_points(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(part, list) for part in value):
        return False
    said, meant = value
    plain = all(type(one) in (int, float) for part in value for one in part)
    if not plain or not len(said) == len(meant) > 0:
        return False
    return bool(np.all(np.diff(said) > 0) and np.all(np.diff(meant) >= 0) and meant[0] > 0 and meant[-1] <= 1)
