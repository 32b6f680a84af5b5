"""The task of classifying: what a case's answer says, and the maps that are written with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.engines import SupervisedEvaluator

from crossd.errors import CrossDError, one_of
from crossd.inference.answer import Answer, Explanation
from crossd.inference.case_dataset import Case, reason
from crossd.inference.evidence import WindowMap
from crossd.inference.input_space import map_in_input_space, save_map
from crossd.inference.saliency import METHODS, WindowGradCAM
from crossd.inference.window_inferer import WindowInferer


class Classification:
    """What `CaseRun` does with what `classify_cases` says.

    - Its tables, `predictions.csv` and `.json`, say of each case `probabilities` by class (probability_<class> in the
      CSV) and `predicted_class`; several of them (multilabel: probability of at least 0.5) are joined by ";". In the
      JSON stand the number of `windows` and the `evidence_class`, too.
    - `evidence/<case>.nii.gz`: the mean probability of the windows covering each voxel, in the input's own space.
    - `saliency/<case>.nii.gz`: where it is asked for, the Grad-CAM map, likewise.

    Args:
        card: the model's card, as `crossd.checkpoints.read_card` returns it.
        evidence_class: name of the class the maps show. By default the one that is not the negative class; where
            there are several of them the predicted class.
        saliency: "gradcam" for a map of `WindowGradCAM`; None for no such map.
        saliency_layer: name of the module whose activations it shows; None: the network's last stage.

    Raises:
        CrossDError: for an evidence class the model does not have, for another kind of saliency, and at the start for a
            layer that the network does not have.
    """

    stem = "predictions"

    def __init__(
        self,
        card: Mapping[str, Any],
        evidence_class: str | None = None,
        saliency: str | None = None,
        saliency_layer: str | None = None,
    ) -> None:
        self.card = card
        self.classes: list[str] = list(card["class_names"])
        self.multilabel = card.get("task") == "multilabel"
        self.evidence_class = fixed_class(card, evidence_class)
        self.saliency = None if saliency is None else one_of("saliency", saliency, METHODS)
        self.saliency_layer = saliency_layer
        self.columns = [*(f"probability_{name}" for name in self.classes), "predicted_class"]

    def start(self, engine: SupervisedEvaluator) -> None:
        """The evaluator's network has its weights."""
        if self.saliency is None:
            return
        if not isinstance(engine.inferer, WindowInferer):
            raise CrossDError(
                f"saliency needs crossd.inference.WindowInferer, which places the windows, got "
                f"{type(engine.inferer).__name__}: configure it as `inferer`"
            )
        self._cam, self._inferer = WindowGradCAM(engine.network, self.saliency_layer), engine.inferer

    def cells(self, answer: Answer) -> list[str]:
        """Those of `columns`."""
        chances = answer.details["probabilities"]
        values = [f"{chances[name]:.6f}" if chances else "" for name in self.classes]
        return [*values, answer.details["predicted_class"] or ""]

    def explain(self, case: Case, said: Mapping[str, Any]) -> Explanation:
        """The maps of what `classify_cases` said of a case."""
        if "error" in said:
            return Explanation()
        shown = self.evidence_class or self.classes[int(said["pred"].argmax())]
        index = self.classes.index(shown)
        found = Explanation(shown, {"evidence": said["evidence"].map(index)})
        if self.saliency is None:
            return found
        try:
            assert case.image is not None  # it was read
            return replace(found, maps={**found.maps, "saliency": self._cam(case.image, self._inferer, index)})
        except Exception as error:  # out of memory, say: gradients take more of it than the answer
            return replace(found, missing=f"No {self.saliency} map: {reason(error)}")

    def answer(self, case: Case, said: Mapping[str, Any], explanation: Explanation, folder: Path) -> Answer:
        """The answer of a case, whose maps are written below the run's folder."""
        nothing = dict.fromkeys(("probabilities", "predicted_class", "windows", "evidence_class"))
        files: dict[str, str | None] = {"evidence": None, "saliency": None}
        for kind in files:
            (folder / kind / f"{case.name}.nii.gz").unlink(missing_ok=True)  # of an earlier run
        if "error" in said:
            return Answer.without(case, said["error"], files, nothing)
        probabilities: list[float] = said["pred"].tolist()
        details = {
            "probabilities": dict(zip(self.classes, probabilities, strict=True)),
            "predicted_class": ";".join(predicted_classes(probabilities, self.card)),
            "windows": len(said["evidence"]),
            "evidence_class": explanation.shown,
        }
        answer = Answer(case.case, case.source, "ok", None, case.warnings, files, details)
        if explanation.missing is not None:
            answer = answer.noting(explanation.missing)
        try:
            written = {kind: _written(found, kind, case, folder) for kind, found in explanation.maps.items()}
        except Exception as error:  # the disk is full, say; what was computed is kept
            why = f"the evidence map was not written: {reason(error)}"
            return replace(answer, status="failed", reason=why, details={**details, "evidence_class": None})
        return replace(answer, files={**files, **written})


def _written(window_map: WindowMap, kind: str, case: Case, folder: Path) -> str:
    """The file, below the folder, into which a map was written."""
    assert case.image is not None  # it was read
    values, affine = map_in_input_space(window_map, case.image)
    file = f"{kind}/{case.name}.nii.gz"
    save_map(folder / file, values, affine, like=str(case.image.meta.get("filename_or_obj")))
    return file


def predicted_classes(probabilities: Sequence[float], card: Mapping[str, Any]) -> list[str]:
    """The classes that a model says: the most probable one; of a multilabel model all of at least 0.5.

    >>> predicted_classes([0.5, 0.3, 0.5], {"class_names": ["a", "b", "c"]})
    ['a']
    >>> predicted_classes([0.5, 0.3, 0.5], {"class_names": ["a", "b", "c"], "task": "multilabel"})
    ['a', 'c']
    """
    names = list(card["class_names"])
    if card.get("task") == "multilabel":
        return [name for name, value in zip(names, probabilities, strict=True) if value >= 0.5]
    return [names[max(range(len(names)), key=probabilities.__getitem__)]]


def fixed_class(card: Mapping[str, Any], wanted: str | None = None) -> str | None:
    """The class that the maps of every case show; None where it is the predicted one.

    Args:
        card: the model's card.
        wanted: a class by name; without it the one class that is not the negative one, where there is only one.

    Raises:
        CrossDError: for a class that the model does not have.

    >>> fixed_class({"class_names": ["healthy", "aneurysm"], "negative_class": 0})
    'aneurysm'
    """
    classes = list(card["class_names"])
    if wanted is not None and wanted not in classes:
        raise CrossDError(
            f"evidence_class must be one of the model's classes ({', '.join(classes)}), got {wanted!r}: choose one of "
            "these, or leave it out"
        )
    findings = [name for index, name in enumerate(classes) if index != card.get("negative_class")]
    return wanted or (findings[0] if len(findings) == 1 else None)
