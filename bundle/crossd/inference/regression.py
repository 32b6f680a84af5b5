"""The task of predicting a number: what a case's answer says; all else is as for classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crossd.inference.answer import Answer
from crossd.inference.classification import Classification


class Regression(Classification):
    """`Classification` of a card whose task is "regression".

    Tables say the number, in the unit that the training's table had: `predicted_<target>` in the CSV, `values` by
    target in the JSON. The evidence is what each voxel adds to it, in the same unit, by `VoxelEvidence`; with
    `evidence="windows"` the mean of what the windows said.

    >>> card = {"task": "regression", "class_names": ["volume_ml"], "target": {"mean": 3.0, "scale": 0.5}}
    >>> task = Regression(card)
    >>> task.own_columns(), task.says([3.25])
    (['predicted_volume_ml'], {'values': {'volume_ml': 3.25}})
    """

    said = ("values",)

    def own_columns(self) -> list[str]:
        """One."""
        return [f"predicted_{name}" for name in self.classes]

    def own_cells(self, answer: Answer) -> list[str]:
        """To six digits."""
        values = answer.details["values"]
        return [f"{values[name]:.6g}" if values else "" for name in self.classes]

    def says(self, values: Sequence[float]) -> dict[str, Any]:
        """Of the network's answer `(1,)`."""
        return {"values": dict(zip(self.classes, values, strict=True))}
