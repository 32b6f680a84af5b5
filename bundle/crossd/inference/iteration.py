"""The evaluator's step: classify the volumes of a batch of cases."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from monai.engines.utils import IterationEvents
from torch import Tensor

from crossd.errors import CrossDError
from crossd.inference.case_loader import CaseGroup
from crossd.inference.cases import Case, reason
from crossd.inference.evidence import WindowEvidence
from crossd.inference.windows import WindowInferer


def run_cases(evaluator: SupervisedEvaluator) -> None:
    """Run the evaluator; one without cases too, since its handlers wait for those of the other processes.

    MONAI passes over a run without items, and its handlers with it: of several processes one may have nothing left to
    do, or all, when a run that has ended is resumed.
    """
    if evaluator.state.epoch_length:
        evaluator.run()
    else:
        evaluator.fire_event(Events.STARTED)
        evaluator.fire_event(Events.COMPLETED)


def classify_cases(engine: SupervisedEvaluator, batch: list[Case]) -> list[dict[str, Any]]:
    """`iteration_update` of MONAI's `SupervisedEvaluator` (with `decollate=False`) for batches of `collate_cases`.

    Args:
        engine: the evaluator; its `inferer` must be a `WindowInferer`.
        batch: items of `CaseDataset`; those of `CaseLoader` are computed with the first one of their group.

    Returns:
        For each case `{"pred": probabilities (classes,), "evidence": WindowEvidence}`, or an empty dictionary where
        the case failed; the case's "error" then says why. Postprocessing sees case and output merged in one dictionary.

    Raises:
        CrossDError: when the inferer is another one, and when the first batch shows that the backend asked for by name
            cannot be used: no case after it would fare better.
    """
    if not isinstance(engine.inferer, WindowInferer):
        raise CrossDError(
            f"inference needs crossd.inference.WindowInferer, which tells what each window said, got "
            f"{type(engine.inferer).__name__}: configure it as `inferer`"
        )
    engine.state.output = [_classify(engine, engine.inferer, case) for case in batch]
    engine.fire_event(IterationEvents.FORWARD_COMPLETED)
    engine.fire_event(IterationEvents.MODEL_COMPLETED)  # postprocessing
    return engine.state.output


def _classify(engine: SupervisedEvaluator, inferer: WindowInferer, case: Case) -> dict[str, Any]:
    if case["error"] is not None:
        return {}
    group: CaseGroup = case.get("group") or CaseGroup([case["image"]])
    if group.answers is None:
        group.answers = _answers(engine, inferer, group.images)
    answer = group.answers[case.get("place", 0)]
    if isinstance(answer, WindowEvidence):
        return {"pred": answer.aggregate().float(), "evidence": answer}
    case["error"] = reason(answer or CrossDError("A case without an error has an image: this one has none. Read it."))
    return {}


def _answers(
    engine: SupervisedEvaluator, inferer: WindowInferer, images: list[Tensor | None]
) -> list[WindowEvidence | Exception | None]:
    """All images in common batches; where that fails one by one, so that the others do not fail with it."""
    amp = torch.autocast(engine.state.device.type, **engine.amp_kwargs) if engine.amp else contextlib.nullcontext()
    volumes = [image[None] for image in images if image is not None]
    found: list[WindowEvidence | Exception] = []
    try:
        with engine.mode(engine.network), amp:
            found += inferer.windows_of(volumes, engine.network)
    except Exception as error:  # out of memory, say: the other cases may be smaller
        if getattr(engine.network, "refusal", None) is not None:
            raise
        if len(volumes) == 1:
            found.append(error)
        else:
            found += [
                answer for volume in volumes for answer in _answers(engine, inferer, [volume[0]]) if answer is not None
            ]
    in_order = iter(found)
    return [None if image is None else next(in_order) for image in images]
