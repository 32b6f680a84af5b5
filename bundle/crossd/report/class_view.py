"""What the report shows of a classification: probabilities, the predicted class, and the maps of the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from crossd.inference import Answer, Case, WindowMap
from crossd.inference.explanation import Explanation

COLUMNS = 4  # classes with a column of their own at most

NOTE = (
    "Window evidence is, at each voxel, the mean probability of the class over the windows that cover it, from 0 to 1. "
    "It says which windows led to the answer; it is no segmentation and no proof."
)
SALIENCY_NOTE = (
    "Grad-CAM: activations of a layer weighted by the gradient of the class's logit, per window, averaged where "
    "windows overlap, and divided by the largest value in a window of the case. Colours of two cases do not compare."
)


class ClassView:
    """Of a run that classifies; see `View`.

    Args:
        class_names: of the model.
        saliency: whether there are Grad-CAM maps.
    """

    kind = "Classification"
    filter = "Predicted"
    peak = "Go to the highest value of the map"

    def __init__(self, class_names: Sequence[str], saliency: bool) -> None:
        self.classes = self.choices = list(class_names)
        self.wide = len(self.classes) > COLUMNS
        self.columns = ["Predicted", *(["Highest P"] if self.wide else [f"P({name})" for name in self.classes])]
        self.maps: Mapping[str, str] = {"evidence": "window evidence"} | ({"saliency": "Grad-CAM"} if saliency else {})
        self.notes = [NOTE, *([SALIENCY_NOTE] if saliency else [])]

    def found(self, answer: Answer) -> list[str]:
        """The predicted classes; whatever the card says now, one text where they are none of the classes."""
        predicted = answer.details["predicted_class"] or ""
        return [name for name in self.classes if predicted and name in predicted.split(";")] or [predicted]

    def cells(self, answer: Answer) -> list[str]:
        """Of the row, below `columns`."""
        chances = answer.details["probabilities"]
        if not chances:
            values: list[float | None] = [None] * (len(self.columns) - 1)
        else:
            values = [max(chances.values())] if self.wide else [chances[name] for name in self.classes]
        return [f"<td>{escape(', '.join(self.found(answer)))}</td>", *map(_probability_cell, values)]

    def side(self, answer: Answer) -> str:
        """Beside the pictures."""
        chances, chosen = answer.details["probabilities"], self.found(answer)
        if not chances:
            return ""
        rows = "".join(
            f"<span{' class=chosen' * (name in chosen)}>{escape(name)}</span>{_bar(chances[name])}"
            f"<span>{chances[name]:.3f}</span>"
            for name in self.classes
        )
        return f'<div><h3>Probabilities</h3><div class="classes">{rows}</div></div>'

    def layers(self, case: Case, said: Mapping[str, Any], explanation: Explanation) -> Mapping[str, WindowMap]:
        """What lies over the slices."""
        return explanation.maps

    def details(self, said: Mapping[str, Any], answer: Answer) -> dict[str, str]:
        """Further facts of a case with an answer."""
        shown = answer.details["evidence_class"]
        values = said["evidence"].probabilities[:, self.classes.index(shown)].tolist()
        many = f"{len(values)}, saying {min(values):.3f} to {max(values):.3f}"
        return {"Maps show": shown, "Windows": many if len(values) > 1 else "1"}


def _bar(value: float) -> str:
    return f'<span class="bar" style="--p:{100 * value:.1f}%"><i></i></span>'


def _probability_cell(value: float | None) -> str:
    return (
        '<td class="p" data-v=""></td>'
        if value is None
        else f'<td class="p" data-v="{value:.6f}">{_bar(value)}{value:.3f}</td>'
    )
