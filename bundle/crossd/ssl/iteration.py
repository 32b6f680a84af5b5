"""A step of pre-training in MONAI's trainer: views to a loss, which must be a number, to a step of the optimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from crossd.errors import CrossDError
from crossd.training.randomness import derive_seed

VIEWS = ("view_1", "view_2", "sub_crops", "target")
SHOWN = 8


class PCRLIteration:
    """What `SupervisedTrainer(iteration_update=…)` does with a batch of `JointDataset`.

    Args:
        seed: of the scales that are drawn for each step.
        amp: whether the forward pass is in lower precision, see `crossd.precision`; the trainer's own `amp` scales the
            loss.

    The engine's output is that of `PCRLNetwork`, with `"target"` and `"kind"` of each case.

    Raises:
        CrossDError: when the loss is not a finite number, naming step and cases; the weights are as before then.
    """

    def __init__(self, seed: int = 0, amp: bool = False) -> None:
        self.seed = seed
        self.amp = amp

    def __call__(self, engine: Any, batch: dict[str, Any]) -> dict[str, Any]:
        device = torch.device(engine.state.device)
        views: dict[str, Tensor] = {
            name: batch[name].to(device, non_blocking=engine.non_blocking) for name in VIEWS if name in batch
        }
        step = engine.state.iteration
        # epochs that are over, with fractions: a run of few long epochs is annealed as smoothly as one of many
        epoch = (step - 1) / engine.state.epoch_length
        engine.network.train()
        engine.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, enabled=self.amp):
            output = engine.network(**views, epoch=epoch, seed=derive_seed(self.seed, step))
        if not torch.isfinite(output["loss"]):
            raise CrossDError(_not_finite(output, views, batch["case"], engine.state))
        if engine.scaler is not None:
            engine.scaler.scale(output["loss"]).backward()
            engine.scaler.step(engine.optimizer)
            engine.scaler.update()
        else:
            output["loss"].backward()
            engine.optimizer.step()
        return {**output, "loss": output["loss"].detach(), "target": views["target"], "kind": batch["kind"]}


def _not_finite(output: dict[str, Tensor], views: dict[str, Tensor], cases: list[str], state: Any) -> str:
    terms = ", ".join(f"{name} {float(value.detach()):g}" for name, value in output.items() if value.dim() == 0)
    listed = ", ".join(cases[:SHOWN]) + (f" and {len(cases) - SHOWN} more" if len(cases) > SHOWN else "")
    wrong = [
        case
        for index, case in enumerate(cases)
        if not all(bool(view[index].isfinite().all()) for view in views.values())
    ]
    remedy = (
        f"The views of {', '.join(wrong[:SHOWN])} hold values that are none: repair or leave out these cases."
        if wrong
        else "All views are finite, so the weights are not: pass a smaller --learning_rate, or --amp false, with "
        "--resume false."
    )
    return (
        f"The loss must be a finite number, got {terms} in step {state.iteration} (epoch {state.epoch}) for the batch "
        f"{listed}. {remedy}"
    )
