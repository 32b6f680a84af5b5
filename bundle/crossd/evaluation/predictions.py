"""What a classifier said of a set of cases, what is true of them, and what it decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from crossd.cards.operating_point import OperatingPoint


@dataclass(frozen=True)
class Predictions:
    """What a classifier said of some cases, and what is true.

    Attributes:
        cases, patients, sources: one of each per case.
        probabilities, targets: `(cases, classes)`; targets are 0 or 1.
        class_names: one per class.
        task: `"multiclass"`, `"multilabel"` or `"ordinal"`; or `"regression"`, whose one name is that of a number:
            `probabilities` are then what was predicted, and `targets` what is true.
        operating_point: how it decides; None: on the most probable class, or (multilabel) on those of 0.5 and more.
        columns: further values of each case by name, such as "sex".
    """

    cases: Sequence[str]
    patients: Sequence[str]
    sources: Sequence[str]
    probabilities: Tensor
    targets: Tensor
    class_names: Sequence[str]
    task: str
    operating_point: OperatingPoint | None = None
    columns: Sequence[Mapping[str, str]] = ()

    @classmethod
    def of(cls, probabilities: Tensor, targets: Tensor, class_names: Sequence[str], task: str) -> Predictions:
        """Those of cases without names, each of a patient of its own."""
        numbers = [str(number) for number in range(len(targets))]
        return cls(numbers, numbers, numbers, probabilities, targets, class_names, task)

    @property
    def point(self) -> OperatingPoint:
        """`operating_point`, or the usual one."""
        return self.operating_point or OperatingPoint(self.task, tuple(self.class_names))

    @property
    def decided(self) -> Tensor:
        """Answers, 0 or 1 `(cases, classes)`."""
        return torch.from_numpy(self.point.decide(self.probabilities.numpy()))

    @property
    def shown(self) -> dict[str, int]:
        """The classes whose figures are told, by name: of two that exclude each other only the positive one."""
        positive = self.point.positive
        return {name: i for i, name in enumerate(self.class_names) if positive is None or i == positive}

    def answers(self, values: Tensor) -> list[str]:
        """Rows of 0 and 1 `(cases, classes)` as class names; several are joined by `;`, none is `none`."""
        said = [[name for name, one in zip(self.class_names, row, strict=True) if one] for row in values.tolist()]
        return [";".join(names) or "none" for names in said]

    def drawn(self, rows: np.ndarray) -> Predictions:
        """Probabilities and targets of some cases, as a draw of the bootstrap has them, without their names."""
        return replace(self, probabilities=self.probabilities[rows], targets=self.targets[rows])

    def take(self, chosen: Sequence[int] | np.ndarray) -> Predictions:
        """Those of some cases, in their order; a case may be there more than once."""
        rows = [int(index) for index in chosen]
        return replace(
            self,
            cases=[self.cases[row] for row in rows],
            patients=[self.patients[row] for row in rows],
            sources=[self.sources[row] for row in rows],
            columns=[self.columns[row] for row in rows] if self.columns else (),
            probabilities=self.probabilities[rows],
            targets=self.targets[rows],
        )
