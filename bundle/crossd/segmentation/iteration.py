"""The evaluator's step: segment the volumes of a batch of cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from torch import Tensor

from crossd.errors import CrossDError
from crossd.inference.case_dataset import Case
from crossd.inference.iteration import Said, answer_cases, precision
from crossd.segmentation.input_space import mask_in_input_space


def segment_cases(engine: SupervisedEvaluator, batch: list[Case]) -> list[Said]:
    """`iteration_update` of MONAI's `SupervisedEvaluator` (with `decollate=False`) for batches of `collate_cases`.

    Args:
        engine: the evaluator; its `inferer` is MONAI's `SlidingWindowInferer`, or another that returns logits
            `(1, classes, *spatial)`.
        batch: items of `CaseDataset`.

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
