"""The evaluator's step: classify the volumes of a batch of cases."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from monai.engines import SupervisedEvaluator
from monai.engines.utils import IterationEvents

from crossd.errors import CrossDError
from crossd.inference.cases import Case, reason
from crossd.inference.windows import WindowInferer


def classify_cases(engine: SupervisedEvaluator, batch: list[Case]) -> list[dict[str, Any]]:
    """`iteration_update` of MONAI's `SupervisedEvaluator` (with `decollate=False`) for batches of `collate_cases`.

    Args:
        engine: the evaluator; its `inferer` must be a `WindowInferer`.
        batch: items of `CaseDataset`.

    Returns:
        For each case `{"pred": probabilities (classes,), "evidence": WindowEvidence}`, or an empty dictionary where
        the case failed; the case's "error" then says why. Postprocessing sees case and output merged in one dictionary.

    Raises:
        CrossDError: when the inferer is another one.
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
    amp = torch.autocast(engine.state.device.type, **engine.amp_kwargs) if engine.amp else contextlib.nullcontext()
    try:
        with engine.mode(engine.network), amp:
            evidence = inferer.windows(case["image"][None], engine.network)
    except Exception as error:  # out of memory, say: the other cases may be smaller
        case["error"] = reason(error)
        return {}
    return {"pred": evidence.aggregate().float(), "evidence": evidence}
