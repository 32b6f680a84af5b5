"""Gradients of a step that are too long are shortened, so that one bad batch cannot undo a run."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from ignite.engine import Engine
from monai.engines import IterationEvents
from torch import Tensor
from torch.optim import Optimizer

from crossd.errors import CrossDError


class GradientClip:
    """Handler of a MONAI trainer that scales the gradients of a step to a norm, where theirs is larger.

    Args:
        optimizer: whose parameters are meant; their gradients count together.
        max_norm: Euclidean norm, or None: gradients stay as they are.

    Raises:
        CrossDError: for a norm that is not above 0.

    Source: Pascanu et al., "On the difficulty of training recurrent neural networks" (ICML 2013), algorithm 1

    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> GradientClip(torch.optim.SGD([weight], lr=1.0), 1.0).shorten()
    >>> [round(value, 4) for value in weight.grad.tolist()]
    [0.6, 0.8]
    """

    def __init__(self, optimizer: Optimizer, max_norm: float | None) -> None:
        if max_norm is not None and not max_norm > 0:
            raise CrossDError(f"max_grad_norm must be above 0, or null; got {max_norm}. Leave it out for the default.")
        self.optimizer, self.max_norm = optimizer, max_norm

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; MONAI calls this."""
        if self.max_norm is not None:
            engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        scaler = getattr(engine, "scaler", None)
        if scaler is not None and getattr(engine, "amp", False):
            scaler.unscale_(self.optimizer)
        self.shorten()

    def shorten(self) -> None:
        """Scale the gradients as they are now."""
        assert self.max_norm is not None
        torch.nn.utils.clip_grad_norm_([*self._parameters()], self.max_norm)

    def _parameters(self) -> Iterable[Tensor]:
        for group in self.optimizer.param_groups:
            yield from group["params"]
