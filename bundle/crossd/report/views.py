"""What the report shows of a task: probabilities and evidence of a classification, volumes of a segmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from crossd.cards.rules import SEGMENTATION
from crossd.cards.tasks import task_of
from crossd.data.masks import nearest_on
from crossd.data.resampling import tidy_affine
from crossd.inference import Answer, Case, WindowMap
from crossd.inference.answer import Explanation
from crossd.inference.case_scope import sentence_of
from crossd.inference.classification import evidence_meaning
from crossd.report.strips import class_colour
from crossd.texts import escaped

COLUMNS = 4  # classes with a column of their own at most

NOTE = (
    "Evidence by windows is, at each voxel, the mean probability of the class over the windows that cover it, from 0 "
    "to 1. Evidence by gradient, views or occlusion, where all windows say the same, is what each voxel adds to the "
    "log-odds of the class, divided by the largest value shown of the case: colours of two cases do not compare, and "
    "what speaks against the class is in the file only. It says what led to the answer; it is no segmentation and no "
    "proof."
)
VALUE_NOTE = (
    "Evidence is what each voxel adds to the number that is said, or what was said by the windows that cover it, "
    "divided by the largest value shown of the case: colours of two cases do not compare, and what makes the number "
    "less is in the file only. It says what led to the answer; it is no segmentation and no proof."
)
SCOPE_NOTE = (
    "Scope says whether a case is like those that the model was trained on, by its size, its intensities and what the "
    "network makes of it. Outside, the answer is one about something that the model has never seen."
)
SALIENCY_NOTE = (
    "Grad-CAM: activations of a layer weighted by the gradient of the class's logit, per window, averaged where "
    "windows overlap, and divided by the largest value shown of the case. Colours of two cases do not compare."
)
MASK_NOTE = (
    "The mask is the one that was written, brought onto this volume by the nearest voxel; each class has its colour "
    "and its outline, and the volume of a class is its voxels in the file times the size of a voxel."
)


class ClassView:
    """What a page shows of a run that classifies.

    Attributes:
        kind: of the report, in a word.
        filter: what is chosen among `choices` to see some of the cases.
        columns: of the table, between status and notes.
        maps: what lies over the slices, by kind, and what that is called.
        peak: what the button says that goes to the slices where it shows most.
        notes: what to know to read them.
    """

    kind = "Classification"
    filter = "Predicted"
    peak = "Go to the highest value of the map"

    def __init__(self, class_names: Sequence[str], saliency: bool) -> None:
        self.classes = self.choices = list(class_names)
        self.wide = len(self.classes) > COLUMNS
        self.columns = ["Predicted", *(["Highest P"] if self.wide else [f"P({name})" for name in self.classes])]
        self.maps = {"evidence": "evidence"} | ({"saliency": "Grad-CAM"} if saliency else {})
        self.notes = [NOTE, *([SALIENCY_NOTE] if saliency else []), SCOPE_NOTE]

    def found(self, answer: Answer) -> list[str]:
        """Of `choices`, those that fit a case; an empty text where none does."""
        predicted = answer.details["predicted_class"] or ""
        known = [name for name in self.classes if predicted and name in predicted.split(";")]
        return known or [predicted]  # of an earlier card

    def cells(self, answer: Answer) -> list[str]:
        """A case's, as HTML."""
        chances = answer.details["probabilities"]
        values: list[float | None] = [None] * (len(self.columns) - 1)
        if chances:
            values = [max(chances.values())] if self.wide else [chances[name] for name in self.classes]
        outside = ' <b class="outside">outside</b>' if "outside" in answer.kinds else ""
        return [
            f"<td>{escaped(', '.join(self.found(answer)))}{outside}</td>",
            *(_number_cell(value, 6, _bar) for value in values),
        ]

    def side(self, answer: Answer) -> str:
        """What stands beside the pictures, as HTML."""
        chances, chosen = answer.details["probabilities"], self.found(answer)
        if not chances:
            return ""
        rows = "".join(
            f"<span{' class=chosen' * (name in chosen)}>{escaped(name)}</span>{_bar(chances[name])}"
            f"<span>{chances[name]:.3f}</span>"
            for name in self.classes
        )
        return _classes("Probabilities", rows)

    @staticmethod
    def shown(value: float) -> str:
        """A number that a window says."""
        return f"{value:.3f}"

    def layers(self, case: Case, said: Mapping[str, Any], explanation: Explanation) -> Mapping[str, WindowMap]:
        """The maps of a case with an answer, by kind."""
        return explanation.maps

    def details(self, said: Mapping[str, Any], answer: Answer) -> dict[str, str]:
        """Further facts of a case with an answer."""
        shown = answer.details["evidence_class"]
        values = said["evidence"].probabilities[:, self.classes.index(shown)].tolist()
        many = f"{len(values)}, saying {self.shown(min(values))} to {self.shown(max(values))}"
        windows = many if len(values) > 1 else "1"
        judged = sentence_of(answer.details)
        scope = {} if judged is None else {"Scope": judged}
        meaning = evidence_meaning(answer.details)
        return {"Maps show": shown, "Evidence": meaning, "Windows": windows, **scope}


def _bar(value: float) -> str:
    return f'<span class="bar" style="--p:{100 * value:.1f}%"><i></i></span>'


class ValueView(ClassView):
    """What a page shows of a run that predicts a number."""

    kind = "Regression"

    def __init__(self, name: str, saliency: bool) -> None:
        super().__init__([name], saliency)
        self.name, self.choices, self.columns = name, [], [name]
        self.notes = [VALUE_NOTE, *self.notes[1:]]

    def found(self, answer: Answer) -> list[str]:
        return []

    def cells(self, answer: Answer) -> list[str]:
        values = answer.details["values"] or {}
        outside = ' <b class="outside">outside</b>' if "outside" in answer.kinds else ""
        value = values.get(self.name)
        shown = "" if value is None else f"{value:.4g}{outside}"
        return [f'<td class="p" data-v="{"" if value is None else f"{value:.6g}"}">{shown}</td>']

    @staticmethod
    def shown(value: float) -> str:
        return f"{value:.4g}"

    def side(self, answer: Answer) -> str:
        values = answer.details["values"] or {}
        rows = "".join(
            f"<span class=chosen>{escaped(name)}</span><span>{value:.4g}</span>" for name, value in values.items()
        )
        return _classes("Predicted", rows) if rows else ""


class MaskView:
    """What a page shows of a run that segments; attributes and methods are those of `ClassView`."""

    kind = "Segmentation"
    filter = "Found"
    peak = "Go to where the mask is largest"

    def __init__(self, class_names: Sequence[str]) -> None:
        self.classes = self.choices = list(class_names)[1:]
        self.wide = len(self.classes) > COLUMNS
        self.columns = ["Classes found", "All, ml"] if self.wide else [f"{name}, ml" for name in self.classes]
        self.maps = {"mask": "mask"}
        self.notes = [MASK_NOTE]

    def found(self, answer: Answer) -> list[str]:
        voxels = answer.details["voxels"] or {}
        return [name for name in self.classes if voxels.get(name)] or [""]

    def cells(self, answer: Answer) -> list[str]:
        volumes = answer.details["volume_ml"]
        if volumes is None:
            return ["<td></td>"] * self.wide + [_number_cell(None)] * (len(self.columns) - self.wide)
        if self.wide:
            return [f"<td>{sum(map(bool, volumes.values()))}</td>", _number_cell(sum(volumes.values()))]
        return [_number_cell(volumes[name]) for name in self.classes]

    def side(self, answer: Answer) -> str:
        volumes, voxels = answer.details["volume_ml"], answer.details["voxels"]
        if volumes is None:
            return ""
        rows = "".join(
            f'<span><i class="swatch" style="background:{class_colour(index)}"></i>{escaped(name)}</span>'
            f"<span>{volumes[name]:.3f} ml</span><span>{voxels[name]} voxels</span>"
            for index, name in enumerate(self.classes, 1)
        )
        return _classes("Volumes", rows)

    def layers(self, case: Case, said: Mapping[str, Any], explanation: Explanation) -> Mapping[str, Tensor]:
        """The mask of a case with an answer, class indices `(depth, height, width)` of its image."""
        assert case.image is not None  # it has an answer
        mask = said["pred"] if said["pred"].dtype == np.uint8 else said["pred"].astype(np.int32)
        return {"mask": nearest_on(mask, tidy_affine(said["affine"]), case.image).as_tensor()[0]}

    def details(self, said: Mapping[str, Any], answer: Answer) -> dict[str, str]:
        return {"Mask": answer.files["mask"] or ""}


View = ClassView | ValueView | MaskView


def view_of(card: Mapping[str, Any], saliency: bool) -> View:
    """Of the card's task."""
    if card.get("task") == SEGMENTATION:
        return MaskView(card["class_names"])
    if task_of(card.get("task")).classifies:
        return ClassView(card["class_names"], saliency)
    return ValueView(card["class_names"][0], saliency)


def _classes(title: str, rows: str) -> str:
    return f'<div><h3>{title}</h3><div class="classes">{rows}</div></div>'


def _number_cell(value: float | None, digits: int = 4, before: Callable[[float], str] = lambda _: "") -> str:
    if value is None:
        return '<td class="p" data-v=""></td>'
    return f'<td class="p" data-v="{value:.{digits}f}">{before(value)}{value:.3f}</td>'
