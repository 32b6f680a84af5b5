"""The loss that holds small, in 2D training, what images do not see of the 3D kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from crossd.conv import unseen_penalty
from crossd.errors import CrossDError


class UnseenDecay(nn.Module):
    """A loss, and while its network trains a weight decay of the unseen parts alone; see `crossd.conv.unseen_penalty`.

    Args:
        network: a 2D network of Cross-D convolutions, the one that is trained.
        factor: of half the squared norm of the unseen parts.
        axes: the through-plane axes that training shows: `(0,)` axial images alone.

    Raises:
        CrossDError: for a factor below 0, and for a network without Cross-D layers of `K > 1`.

    >>> import torch
    >>> from crossd import CrossDConv
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
