"""What the report shows of a segmentation: the volume of each class, and the mask over the slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from torch import Tensor

from crossd.data.masks import nearest_on
from crossd.data.resampling import tidy_affine
from crossd.inference import Answer, Case
from crossd.inference.explanation import Explanation
from crossd.report.strips import class_colour

COLUMNS = 4  # classes with a column of their own at most

NOTE = (
    "The mask is the one that was written, brought onto this volume by the nearest voxel; each class has its colour "
    "and its outline, and the volume of a class is its voxels in the file times the size of a voxel."
)


class MaskView:
    """Of a run that segments; see `View`.

    Args:
        class_names: of the model, the background first.
    """

    kind = "Segmentation"
    filter = "Found"
    peak = "Go to where the mask is largest"

    def __init__(self, class_names: Sequence[str]) -> None:
        self.classes = self.choices = list(class_names)[1:]
        self.wide = len(self.classes) > COLUMNS
        self.columns = ["Classes found", "All, ml"] if self.wide else [f"{name}, ml" for name in self.classes]
        self.maps: Mapping[str, str] = {"mask": "mask"}
        self.notes = [NOTE]

    def found(self, answer: Answer) -> list[str]:
        """The classes that the mask shows."""
        voxels = answer.details["voxels"] or {}
        return [name for name in self.classes if voxels.get(name)] or [""]

    def cells(self, answer: Answer) -> list[str]:
        """Of the row, below `columns`."""
        volumes = answer.details["volume_ml"]
        if volumes is None:
            return ["<td></td>"] * self.wide + [_volume_cell(None)] * (len(self.columns) - self.wide)
        if self.wide:
            return [
                f"<td>{len([value for value in volumes.values() if value])}</td>",
                _volume_cell(sum(volumes.values())),
            ]
        return [_volume_cell(volumes[name]) for name in self.classes]

    def side(self, answer: Answer) -> str:
        """Beside the pictures, with the colours of the mask."""
        volumes, voxels = answer.details["volume_ml"], answer.details["voxels"]
        if volumes is None:
            return ""
        rows = "".join(
            f'<span><i class="swatch" style="background:{class_colour(index)}"></i>{escape(name)}</span>'
            f"<span>{volumes[name]:.3f} ml</span><span>{voxels[name]} voxels</span>"
            for index, name in enumerate(self.classes, 1)
        )
        return f'<div><h3>Volumes</h3><div class="classes">{rows}</div></div>'

    def layers(self, case: Case, said: Mapping[str, Any], explanation: Explanation) -> Mapping[str, Tensor]:
        """What lies over the slices: class indices `(depth, height, width)` on the grid of the case's image."""
        assert case.image is not None  # it has an answer
        mask = said["pred"] if said["pred"].dtype == np.uint8 else said["pred"].astype(np.int32)
        return {"mask": nearest_on(mask, tidy_affine(said["affine"]), case.image).as_tensor()[0]}

    def details(self, said: Mapping[str, Any], answer: Answer) -> dict[str, str]:
        """Further facts of a case with an answer."""
        return {"Mask": answer.files["mask"] or ""}


def _volume_cell(value: float | None) -> str:
    return '<td class="p" data-v=""></td>' if value is None else f'<td class="p" data-v="{value:.4f}">{value:.3f}</td>'
