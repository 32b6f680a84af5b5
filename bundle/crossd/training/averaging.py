"""An exponential moving average of the weights, which is what is validated and kept."""

from __future__ import annotations

import copy

import torch
from ignite.engine import Engine, Events
from torch import nn

from crossd.checkpoints.checkpoint_files import unwrap
from crossd.errors import CrossDError


def averaged_copy(network: nn.Module, decay: float | None) -> nn.Module:
    """The module that is to hold the average of a network's weights: a copy, in evaluation mode.

    Args:
        decay: of `WeightAverage`; None for no average, then the network itself is returned.

    Raises:
        CrossDError: for a decay that is not between 0 and 1.

    >>> network = nn.Linear(1, 1)
    >>> averaged_copy(network, None) is network, averaged_copy(network, 0.9) is network
    (True, False)
    """
    if decay is None:
        return unwrap(network)
    if not 0 < decay < 1:
        raise CrossDError(f"ema is the decay of an average, between 0 and 1, or null; got {decay}. Example: 0.999.")
    return copy.deepcopy(unwrap(network)).eval().requires_grad_(False)


class WeightAverage:
    """Handler that keeps the moving average of a network's weights.

    After each step `average ← d · average + (1 − d) · weights` with `d = min(decay, (1 + step) / (10 + step))`, so that
    the random weights of the first steps are soon forgotten. Buffers (running statistics) are those of the network.
    (ignite's `EMAHandler` starts from the weights that a network has when the handler is made, which is before
    pre-trained ones are loaded, and makes a copy where none is wanted.)

    Args:
        model: what `averaged_copy` returned.
        decay: `d` at last; None: nothing is done.
    """

    def __init__(self, network: nn.Module, model: nn.Module, decay: float | None) -> None:
        self.network = unwrap(network)
        self.model = model
        self.decay = decay

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; MONAI calls this. After weights are loaded and before a run is resumed."""
        if self.decay is not None:
            engine.add_event_handler(Events.STARTED, self._start)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._update)

    def _start(self, engine: Engine) -> None:
        if not engine.state.epoch:
            self.model.load_state_dict(self.network.state_dict())

    @torch.no_grad()
    def _update(self, engine: Engine) -> None:
        step = engine.state.iteration
        decay = min(self.decay or 0.0, (1 + step) / (10 + step))
        for average, current in zip(self.model.parameters(), self.network.parameters(), strict=True):
            average.lerp_(current, 1 - decay)
        for kept, given in zip(self.model.buffers(), self.network.buffers(), strict=True):
            kept.copy_(given)
