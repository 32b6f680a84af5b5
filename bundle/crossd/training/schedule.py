"""The learning rate of each epoch."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from crossd.errors import CrossDError, one_of

SCHEDULES = ("cosine", "step")


def epoch_schedule(
    optimizer: Optimizer,
    epochs: int,
    schedule: str = "cosine",
    step_epochs: int = 30,
    warmup_epochs: int = 0,
    warmup_from: float | None = None,
    head_epochs: int = 0,
) -> LambdaLR:
    """The learning rate of each epoch, as a factor of the optimiser's.

    Args:
        optimizer: with the largest learning rate.
        schedule: `"cosine"`: half a cosine, from 1 to 0; `"step"`: a tenth of it after every `step_epochs`.
        step_epochs: see there; the warm-up counts.
        warmup_epochs: over which it rises evenly to 1. A run that is not longer ends while it rises.
        warmup_from: the factor of the first of them; None: the first of as many equal steps.
        head_epochs: of 1 before all that, in which `HeadFirst` trains the head alone.

    Raises:
        CrossDError: for an unknown schedule, a negative warm-up or a step of no epoch.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    >>> def factors(**options):
    ...     return [round(epoch_schedule(optimizer, 4, **options).lr_lambdas[0](epoch), 4) for epoch in range(4)]
    >>> factors(schedule="step", step_epochs=2), factors(warmup_epochs=2), factors(warmup_epochs=2, warmup_from=0.1)
    ([1.0, 1.0, 0.1, 0.1], [0.3333, 0.6667, 1.0, 0.5], [0.1, 0.55, 1.0, 0.5])
    >>> factors(head_epochs=2)
    [1.0, 1.0, 1.0, 0.5]
    """
    one_of("schedule", schedule, SCHEDULES)
    if warmup_epochs < 0 or step_epochs < 1:
        raise CrossDError(
            f"A warm-up has no epochs or more and a step at least one, got a warm-up of {warmup_epochs} and steps of "
            f"{step_epochs}. Pass --warmup_epochs 0."
        )

    epochs -= head_epochs
    warmup = min(warmup_epochs, epochs)

    def factor(epoch: int) -> float:
        epoch -= head_epochs
        if epoch < 0:
            return 1.0
        if epoch < warmup:
            if warmup_from is None:
                return (epoch + 1) / (warmup + 1)
            return warmup_from + (1 - warmup_from) * (epoch / warmup)
        if schedule == "step":
            return float(0.1 ** (epoch // step_epochs))
        return max(0.0, 0.5 * (1 + math.cos(math.pi * ((epoch - warmup) / max(1, epochs - warmup)))))

    return LambdaLR(optimizer, factor)
