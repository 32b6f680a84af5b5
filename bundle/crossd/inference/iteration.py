"""The evaluator's step: what the network says of each case of a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from monai.engines.utils import IterationEvents

from crossd.errors import CrossDError
from crossd.inference.case_dataset import Case, CaseGroup, reason
from crossd.inference.window_inferer import WindowInferer
from crossd.inference.window_map import WindowEvidence

Said = dict[str, Any]


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


def answer_cases(engine: SupervisedEvaluator, batch: list[Case], say: Callable[[Case], Said]) -> list[Said]:
    """The step of a task; a case for which it fails does not end the run.

    Returns:
        For each case what `say` returned and its "image", or `{"error": why}` where it could not be read or `say`
        raised an exception. Postprocessing sees this dictionary.

    Raises:
        CrossDError: when the first batch shows that the backend asked for by name cannot be used: no case after it
            would fare better.
    """
    output: list[Said] = []
    for case in batch:
        try:
            output.append({"error": case.error} if case.error is not None else {"image": case.image, **say(case)})
        except Exception as error:  # out of memory, say: the other cases may be smaller
            if getattr(engine.network, "refusal", None) is not None:
                raise
            output.append({"error": reason(error)})
    engine.state.output = output
    engine.fire_event(IterationEvents.FORWARD_COMPLETED)
    engine.fire_event(IterationEvents.MODEL_COMPLETED)  # postprocessing
    return engine.state.output  # type: ignore[no-any-return]


def precision(engine: SupervisedEvaluator) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision where the evaluator has `amp`."""
    return torch.autocast(engine.state.device.type, **engine.amp_kwargs) if engine.amp else contextlib.nullcontext()


def classify_cases(engine: SupervisedEvaluator, batch: list[Case]) -> list[Said]:
    """`iteration_update` of MONAI's `SupervisedEvaluator` (with `decollate=False`) for batches of `collate_cases`.

    The `inferer` must be a `WindowInferer`. Cases of `CaseLoader` are computed with the first one of their group.

    Returns:
        For each case `{"image", "pred": probabilities (classes,), "evidence": WindowEvidence}`; see `answer_cases`.

    Raises:
        CrossDError: when the inferer is another one.
    """
    inferer = engine.inferer
    if not isinstance(inferer, WindowInferer):
        raise CrossDError(
            f"inference needs crossd.inference.WindowInferer, which tells what each window said, got "
            f"{type(inferer).__name__}: configure it as `inferer`"
        )

    def say(case: Case) -> Said:
        group = case.group or CaseGroup([case.image])
        if group.answers is None:
            group.answers = _answers(engine, inferer, group)
        answer = group.answers[case.place]
        if not isinstance(answer, WindowEvidence):
            raise answer or CrossDError("A case without an error has an image: this one has none. Read it.")
        said = answer.aggregate().float()
        if inferer.after is not None:
            said = inferer.after(said, case.given.get("covariates"))
        return {"pred": said, "evidence": answer}

    return answer_cases(engine, batch, say)


def _answers(engine: SupervisedEvaluator, inferer: WindowInferer, group: CaseGroup) -> list[Any]:
    """All images in common batches; where that fails one by one, so that the others do not fail with it."""
    volumes = [image[None] for image in group.images if image is not None]
    found: list[WindowEvidence | Exception] = []
    try:
        with engine.mode(engine.network), precision(engine):
            found += inferer.windows_of(volumes, engine.network)
    except Exception as error:  # out of memory, say: the other cases may be smaller
        if getattr(engine.network, "refusal", None) is not None:
            raise
        if len(volumes) == 1:
            found.append(error)
        else:
            found += [answer for volume in volumes for answer in _answers(engine, inferer, CaseGroup([volume[0]]))]
    in_order = iter(found)
    return [None if image is None else next(in_order) for image in group.images]
