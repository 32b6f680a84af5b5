"""The task of segmenting: the evaluator's step, what a case's answer says, and the mask that is written with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from torch import Tensor

from crossd.errors import CrossDError
from crossd.inference.answer import Answer, Explanation
from crossd.inference.case_dataset import Case, reason
from crossd.inference.input_space import mask_in_input_space, save_map
from crossd.inference.iteration import Said, answer_cases, precision


def segment_cases(engine: SupervisedEvaluator, batch: list[Case]) -> list[Said]:
    """`iteration_update` of MONAI's `SupervisedEvaluator` (with `decollate=False`) for batches of `collate_cases`.

    The `inferer` is MONAI's `SlidingWindowInferer`, or another that returns logits `(1, classes, *spatial)`.

    Returns:
        For each case `{"image", "pred": class indices (i, j, k) of the input, "affine": its affine}`; see
        `crossd.inference.iteration.answer_cases`.
    """

    def say(case: Case) -> Said:
        assert case.image is not None  # it was read
        with engine.mode(engine.network), precision(engine):
            logits = engine.inferer(case.image.as_tensor()[None].to(engine.state.device), engine.network)
        mask, affine = mask_in_input_space(checked(logits, case.image), case.image)
        return {"pred": mask, "affine": affine}

    return answer_cases(engine, batch, say)


def checked(answer: Any, image: MetaTensor) -> Tensor:
    """The logits `(classes, *spatial)` of one volume.

    Raises:
        CrossDError: for an answer that is none, or not finite.
    """
    answer = next(iter(answer.values())) if isinstance(answer, Mapping) else answer
    if not isinstance(answer, Tensor) or answer.shape[2:] != image.shape[1:] or len(answer) != 1:
        got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise CrossDError(
            f"A segmentation network returns logits (batch, classes, depth, height, width), got {got} for a volume of "
            f"{tuple(image.shape[1:])}. Take a network that answers with one map at the input's size in evaluation."
        )
    if not answer.isfinite().all():
        raise CrossDError(
            "The network's logits must be finite, got NaN or infinity. Check the volume's intensities, and run without "
            "amp."
        )
    return answer[0]


class Segmentation:
    """What `CaseRun` does with what `segment_cases` says.

    - `masks/<case>.nii.gz`: the value of each voxel's class (uint8, or int16, or int32), on the grid of the input: its
      shape, its affine, its sform and qform codes.
    - Its tables, `segmentations.csv` and `.json`, say of each case the `mask` and, for each class but the background,
      `voxels` and `volume_ml` (voxels_<class> and volume_ml_<class> in the CSV).

    Args:
        card: the model's card; its `label_values` are what masks hold.
    """

    stem = "segmentations"

    def __init__(self, card: Mapping[str, Any]) -> None:
        self.card = card
        self.classes: list[str] = list(card["class_names"])
        values = list(card["label_values"])
        kind = np.uint8 if max(values) <= 255 else np.int16 if max(values) <= 32767 else np.int32
        self.values = np.array(values, dtype=kind)
        self.columns = ["mask", *(f"{size}_{name}" for name in self.classes[1:] for size in ("voxels", "volume_ml"))]

    def start(self, engine: SupervisedEvaluator) -> None:
        """Nothing is to be made ready."""

    def explain(self, case: Case, said: Mapping[str, Any]) -> Explanation:
        """A mask says itself what was seen where."""
        return Explanation()

    def cells(self, answer: Answer) -> list[str]:
        """Those of `columns`."""
        voxels, volumes = answer.details["voxels"], answer.details["volume_ml"]
        if voxels is None:
            return [""] * len(self.columns)
        sizes = [text for name in self.classes[1:] for text in (str(voxels[name]), f"{volumes[name]:.4f}")]
        return [answer.files["mask"] or "", *sizes]

    def answer(self, case: Case, said: Mapping[str, Any], explanation: Explanation, folder: Path) -> Answer:
        """The answer of a case, whose mask is written below the run's folder."""
        nothing: dict[str, Any] = {"voxels": None, "volume_ml": None}
        name = f"masks/{case.name}.nii.gz"
        (folder / name).unlink(missing_ok=True)  # of an earlier run
        if "error" in said:
            return Answer.without(case, said["error"], {"mask": None}, nothing)
        assert case.image is not None  # it was read
        mask, affine = said["pred"], said["affine"]
        try:
            save_map(folder / name, self.values[mask], affine, like=str(case.image.meta.get("filename_or_obj")))
        except Exception as error:  # the disk is full, say; the others are done
            return Answer.without(case, f"the mask was not written: {reason(error)}", {"mask": None}, nothing)
        counts = np.bincount(mask.ravel(), minlength=len(self.classes))[1:].tolist()
        millilitres = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
        voxels = dict(zip(self.classes[1:], counts, strict=True))
        volumes = {name: round(count * millilitres, 4) for name, count in voxels.items()}
        details = {"voxels": voxels, "volume_ml": volumes}
        return Answer(case.case, case.source, "ok", None, case.warnings, {"mask": name}, details)
