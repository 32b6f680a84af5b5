"""What 2D training does with the axis of the 3D kernels that its images do not show: another in turn, or a decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ignite.engine import Engine, Events
from torch import Tensor, nn

from crossd.conv import CrossDConv, random_through_plane, set_through_plane, unseen_penalty
from crossd.errors import CrossDError


class RandomThroughPlane:
    """Handler that draws, for every training step, which axis of the 3D kernels the images do not show.

    Each of the three comes once in three steps. Whatever runs between steps, such as validation, sees axial images; so
    does the network when training is over. The draw follows from seed and step: a resumed run goes on with the same
    ones, and all processes of a distributed run agree.

    Args:
        network: a 2D network, also inside `DistributedDataParallel`.

    Raises:
        CrossDError: for a network without 2D Cross-D layers.
    """

    def __init__(self, network: nn.Module, seed: int = 0) -> None:
        if not any(isinstance(module, CrossDConv) and module.spatial_dims == 2 for module in network.modules()):
            raise CrossDError(
                f"Random through-plane axes need 2D Cross-D layers; {type(network).__name__} has none. Leave "
                "configs/random_axes_2d.json out, or train with --conv crossd."
            )
        self.network = network
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(
            Events.ITERATION_STARTED,
            lambda engine: random_through_plane(self.network, self.seed, engine.state.iteration - 1),
        )
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: set_through_plane(self.network, 0))


class UnseenDecay(nn.Module):
    """A loss, and while its network trains a weight decay of the unseen parts alone; see `crossd.conv.unseen_penalty`.

    Args:
        network: a 2D network of Cross-D convolutions, the one that is trained.
        factor: of half the squared norm of the unseen parts.
        axes: the through-plane axes that training shows: `(0,)` axial images alone.

    Raises:
        CrossDError: for a factor below 0, and for a network without Cross-D layers of `K > 1`.

    >>> import torch
    >>> network = nn.Sequential(CrossDConv(2, 1, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> loss = UnseenDecay(nn.CrossEntropyLoss(), network, factor=0.1)
    >>> logits, labels = network(torch.zeros(2, 1, 5, 5)), torch.tensor([0, 1])
    >>> bool(loss(logits, labels) > nn.CrossEntropyLoss()(logits, labels))
    True
    """

    def __init__(self, loss: nn.Module, network: nn.Module, factor: float, axes: Sequence[int] = (0,)) -> None:
        super().__init__()
        if factor < 0:
            raise CrossDError(f"The decay of the unseen part is a factor of 0 or more, got {factor}. Example: 0.1.")
        unseen_penalty(network, axes)  # refuses networks without one, before training
        self.loss = loss
        self.factor = factor
        self.axes = tuple(axes)
        self._network = [network]  # not a module of the loss: its weights are the network's

    def forward(self, predictions: Tensor, labels: Tensor, *args: Any) -> Tensor:
        """The loss of `(batch, classes)` logits, with the decay."""
        value: Tensor = self.loss(predictions, labels, *args)
        return value + self.factor * unseen_penalty(self._network[0], self.axes)
