"""The task of classifying: what a case's answer says, and the maps that are written with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.engines import SupervisedEvaluator
from torch import Tensor

from crossd.cards.operating_point import OperatingPoint
from crossd.cards.tasks import task_of
from crossd.errors import CrossDError, one_of
from crossd.inference import case_scope
from crossd.inference.answer import Answer, Explanation
from crossd.inference.attribution import METHODS as WITHIN
from crossd.inference.attribution import VoxelEvidence
from crossd.inference.case_dataset import Case, reason
from crossd.inference.case_scope import CaseScope
from crossd.inference.input_space import map_in_input_space, save_map
from crossd.inference.saliency import METHODS, WindowGradCAM
from crossd.inference.window_inferer import WindowInferer
from crossd.inference.window_map import WindowMap
from crossd.networks.ensemble import members_said

EVIDENCE = {
    "windows": "mean probability of {} over the windows that cover a voxel",
    "gradient": "gradient: what a voxel adds to the log-odds of {}",
    "occlusion": "occlusion: log-odds of {} lost without the cube around a voxel",
    "views": "views: what slices and projections add to the log-odds of {}",
}
"""What the evidence of a class is, by method; a NIfTI header has 80 characters for it."""
OF_VALUE = {
    "windows": "mean of {} over the windows that cover a voxel",
    "gradient": "gradient: what a voxel adds to {}",
    "occlusion": "occlusion: what {} loses without the cube around a voxel",
    "views": "views: what slices and projections add to {}",
}
"""Likewise, of a number."""


class Classification:
    """What `CaseRun` does with what `classify_cases` says.

    - Its tables, `predictions.csv` and `.json`, say of each case `probabilities` by class (probability_<class> in the
      CSV) and `predicted_class`; several of them (multilabel) are joined by ";". What is said follows the operating
      point of the card, whose `threshold` stands beside it (multilabel: of each class, joined by ";"). Where the
      card has a scope they say `scope` ("inside" or "outside" of what training cases look like) and `unlike` (the share
      of validation cases that are less unlike), and where the network is an `Ensemble`, `disagreement`. The JSON has
      the number of `windows`, the `evidence_class` and the `evidence_method`, too.
    - `evidence/<case>.nii.gz`: where the answer came from, in the input's own space. The mean probability of the
      windows covering each voxel (`windows`); where that is the same everywhere, as of one window, what each voxel
      adds to the log-odds by `VoxelEvidence` (`gradient`, `occlusion`, or of `MultiView` `views`). Its header says
      which (`descrip`).
    - `saliency/<case>.nii.gz`: where it is asked for, the Grad-CAM map, likewise.

    Args:
        card: the model's card, as `crossd.checkpoints.read_card` returns it.
        evidence_class: name of the class the maps show. By default the one that is not the negative class; where
            there are several of them the predicted class.
        evidence: "auto", or a method of `EVIDENCE` for all cases.
        saliency: "gradcam" for a map of `WindowGradCAM`; None for no such map.
        saliency_layer: name of the module whose activations it shows; None: the network's last stage.

    Raises:
        CrossDError: for an evidence class the model does not have, another kind of evidence or saliency, and at the
            start for a layer that the network does not have, or "views" of a network that sees none.
    """

    stem = "predictions"
    said: tuple[str, ...] = ("probabilities", "predicted_class")  # what an answer says, by its key in the JSON

    def __init__(
        self,
        card: Mapping[str, Any],
        evidence_class: str | None = None,
        saliency: str | None = None,
        saliency_layer: str | None = None,
        evidence: str = "auto",
    ) -> None:
        self.card = card
        self.classes: list[str] = list(card["class_names"])
        self.each = not task_of(card.get("task")).exclusive
        self.evidence_class = fixed_class(card, evidence_class)
        self.evidence = one_of("evidence", evidence, ("auto", *EVIDENCE))
        self.saliency = None if saliency is None else one_of("saliency", saliency, METHODS)
        self.saliency_layer = saliency_layer
        self.threshold = ";".join(f"{limit:.6f}" for limit in OperatingPoint.of(card).limits.values())
        self.columns = [*self.own_columns(), *case_scope.COLUMNS]
        self.network: Mapping[str, Any] = card.get("network", {})
        self.columns += ["disagreement"] if self.network.get("name") == "Ensemble" else []
        self.scope = CaseScope(card)

    def start(self, engine: SupervisedEvaluator) -> None:
        """The evaluator's network has its weights."""
        self.scope.start()
        if not isinstance(engine.inferer, WindowInferer):
            if self.saliency is None:
                return  # whoever asks it for windows says so
            raise CrossDError(
                f"saliency needs crossd.inference.WindowInferer, which places the windows, got "
                f"{type(engine.inferer).__name__}: configure it as `inferer`"
            )
        self._inferer = engine.inferer
        self._within = VoxelEvidence(engine.network, self.evidence if self.evidence in WITHIN else "gradient")
        if self.saliency is not None:
            self._cam = WindowGradCAM(engine.network, self.saliency_layer)

    def own_columns(self) -> list[str]:
        """Columns of what is said, before those of the scope."""
        return [*(f"probability_{name}" for name in self.classes), "predicted_class", "threshold"]

    def own_cells(self, answer: Answer) -> list[str]:
        """Those of `own_columns`."""
        chances = answer.details["probabilities"]
        values = [f"{chances[name]:.6f}" if chances else "" for name in self.classes]
        said = answer.details["predicted_class"] or ""
        return [*values, said, self.threshold if said else ""]

    def says(self, values: Sequence[float]) -> dict[str, Any]:
        """Of the network's answer `(classes,)` what `said` names."""
        classes = ";".join(predicted_classes(values, self.card))
        return {"probabilities": dict(zip(self.classes, values, strict=True)), "predicted_class": classes}

    def cells(self, answer: Answer) -> list[str]:
        """Those of `columns`."""
        cells = [*self.own_cells(answer), *case_scope.cells_of(answer.details)]
        spread = answer.details.get("disagreement")
        further = self.columns[len(cells) :]  # of an ensemble
        return [*cells, *("" if spread is None else f"{spread:.6f}" for _ in further)]

    def explain(self, case: Case, said: Mapping[str, Any]) -> Explanation:
        """The maps of what `classify_cases` said of a case."""
        if "error" in said:
            return Explanation()
        shown = self.evidence_class or self.classes[int(said["pred"].argmax())]
        index = self.classes.index(shown)
        found = Explanation(shown, {"evidence": said["evidence"].map(index)}, method="windows")
        assert case.image is not None  # it was read
        try:
            windows = found.maps["evidence"]
            if self.evidence in WITHIN or (self.evidence == "auto" and (windows.uniform or not windows.probability)):
                within = self._within(case.image, self._inferer, index)
                found = replace(found, maps={"evidence": within}, method=self._within.method)
        except Exception as error:  # out of memory, say: gradients take more of it than the answer
            found = replace(found, missing=f"No evidence from within the network: {reason(error)}")
        try:
            if self.saliency is not None:
                found = replace(found, maps={**found.maps, "saliency": self._cam(case.image, self._inferer, index)})
        except Exception as error:
            missing = f"No {self.saliency} map: {reason(error)}"
            found = replace(found, missing=missing if found.missing is None else f"{found.missing}; {missing}")
        return found

    def answer(self, case: Case, said: Mapping[str, Any], explanation: Explanation, folder: Path) -> Answer:
        """The answer of a case, whose maps are written below the run's folder."""
        later = ("windows", "evidence_class", "evidence_method")
        nothing = dict.fromkeys((*self.said, *case_scope.COLUMNS, *later))
        files: dict[str, str | None] = {"evidence": None, "saliency": None}
        for kind in files:
            (folder / kind / f"{case.name}.nii.gz").unlink(missing_ok=True)  # of an earlier run
        if "error" in said:
            return Answer.without(case, said["error"], files, nothing)
        assert case.image is not None  # it was read
        features, members = members_said(self.network, said["evidence"].features)
        judgement = self.scope(case.image, features)
        details = {
            **self.says(said["pred"].tolist()),
            **case_scope.details_of(judgement),
            **({} if members is None else {"disagreement": disagreement(members, self.each)}),
            "windows": len(said["evidence"]),
            "evidence_class": explanation.shown,
            "evidence_method": explanation.method,
        }
        answer = Answer(case.case, case.source, "ok", None, case.warnings, files, details)
        for note in (case_scope.warning_of(judgement), explanation.missing):
            answer = answer if note is None else answer.noting(note)
        about = {"evidence": evidence_meaning(details)}
        try:
            written = {
                kind: _written(found, kind, case, folder, about.get(kind, ""))
                for kind, found in explanation.maps.items()
            }
        except Exception as error:  # the disk is full, say; what was computed is kept
            why = f"the evidence map was not written: {reason(error)}"
            return replace(
                answer,
                status="failed",
                reason=why,
                details={**details, **dict.fromkeys(("evidence_class", "evidence_method"))},
            )
        return replace(answer, files={**files, **written})


def disagreement(members: Tensor, each: bool = False) -> float:
    """The standard deviation of the members' probabilities `(member, classes)` of the class that their mean says.

    Of a model that says each by itself, multilabel or a regression, it is that on which they differ most.

    >>> import torch
    >>> round(disagreement(torch.tensor([[0.9, 0.1], [0.5, 0.5]])), 4)
    0.2
    """
    spread = members.std(0, correction=0)
    return float(spread.max() if each else spread[members.mean(0).argmax()])


def evidence_meaning(details: Mapping[str, Any]) -> str:
    """What the numbers of a case's evidence are; empty where there is none.

    >>> evidence_meaning({"evidence_class": "aneurysm", "evidence_method": "gradient"})
    'gradient: what a voxel adds to the log-odds of aneurysm'
    """
    meaning = (OF_VALUE if "values" in details else EVIDENCE).get(details.get("evidence_method") or "", "")
    return meaning.format(details.get("evidence_class"))


def _written(window_map: WindowMap, kind: str, case: Case, folder: Path, about: str) -> str:
    """The file, below the folder, into which a map was written."""
    assert case.image is not None  # it was read
    values, affine = map_in_input_space(window_map, case.image)
    file = f"{kind}/{case.name}.nii.gz"
    save_map(folder / file, values, affine, like=str(case.image.meta.get("filename_or_obj")), about=about)
    return file


def predicted_classes(probabilities: Sequence[float], card: Mapping[str, Any]) -> list[str]:
    """The classes that a model says: what the card's operating point decides.

    >>> predicted_classes([0.5, 0.3, 0.5], {"class_names": ["a", "b", "c"]})
    ['a']
    >>> predicted_classes([0.5, 0.3, 0.5], {"class_names": ["a", "b", "c"], "task": "multilabel"})
    ['a', 'c']
    """
    (answer,) = OperatingPoint.of(card).decide([probabilities])
    return [name for name, one in zip(card["class_names"], answer.tolist(), strict=True) if one]


def fixed_class(card: Mapping[str, Any], wanted: str | None = None) -> str | None:
    """The class that the maps of every case show: the wanted one, else the only one that is not the negative one.

    None where it is the predicted one.

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
