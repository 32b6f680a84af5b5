"""The evaluator's step: segment the volumes of a batch of cases."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator
from monai.engines.utils import IterationEvents
from torch import Tensor

from crossd.errors import CrossDError
from crossd.inference.cases import Case, reason
from crossd.segmentation.input_space import mask_in_input_space


def segment_cases(engine: SupervisedEvaluator, batch: list[Case]) -> list[dict[str, Any]]:
    """`iteration_update` of MONAI's `SupervisedEvaluator` (with `decollate=False`) for batches of `collate_cases`.

    Args:
        engine: the evaluator; its `inferer` is MONAI's `SlidingWindowInferer`, or another that returns logits
            `(1, classes, *spatial)`.
        batch: items of `CaseDataset`.

    Returns:
        For each case `{"pred": class indices (i, j, k) of the input, "affine": its affine}`, or an empty dictionary
        where the case failed; the case's "error" then says why.
    """
    engine.state.output = [_segment(engine, case) for case in batch]
    engine.fire_event(IterationEvents.FORWARD_COMPLETED)
    engine.fire_event(IterationEvents.MODEL_COMPLETED)  # postprocessing
    return engine.state.output


def _segment(engine: SupervisedEvaluator, case: Case) -> dict[str, Any]:
    if case["error"] is not None:
        return {}
    amp = torch.autocast(engine.state.device.type, **engine.amp_kwargs) if engine.amp else contextlib.nullcontext()
    try:
        with engine.mode(engine.network), amp:
            logits = engine.inferer(case["image"].as_tensor()[None].to(engine.state.device), engine.network)
        mask, affine = mask_in_input_space(checked(logits, case["image"]), case["image"])
    except Exception as error:  # out of memory, say: the other cases may be smaller
        if getattr(engine.network, "refusal", None) is not None:
            raise
        case["error"] = reason(error)
        return {}
    return {"pred": mask, "affine": affine}


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
