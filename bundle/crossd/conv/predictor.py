"""The small pointwise network that predicts a kernel's motion from the layer's input (paper Eq. 1)."""
# mypy: disable-error-code="operator, arg-type"
# torch types the items of a Sequential as bare modules; torch.jit.script refuses casts

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossd.motion import MAX_ANGLE, axis_angle

HIDDEN_CHANNELS = 16  # the official layer's width


class Pointwise(nn.Linear):
    """A linear layer over channels at every position: `(batch, in, positions)` → `(batch, out, positions)`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.weight.unsqueeze(2), self.bias)


class PositionBatchNorm(nn.BatchNorm1d):
    """Batch norm over positions that uses its running statistics when a training batch has one value per channel."""

    def forward(self, x: Tensor) -> Tensor:
        use_batch = False
        if self.training and x.shape[0] * x.shape[2] > 1:  # as a branch: a value would be symbolic in torch.compile
            use_batch = True
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        momentum = 0.1 if self.momentum is None else self.momentum
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, use_batch, momentum, self.eps
        )


class MotionPredictor(nn.Sequential):
    """Input of a layer → motion parameter `v = θ·k` per sample.

    `in → 16 → batch norm → ReLU → 4` at every position, then, per output, the sum over positions weighted by the
    softmax over positions (paper Eq. 1), then `crossd.motion.axis_angle`. It has no spatial weights, so the same one
    serves 2D and 3D. Input `(batch, in_channels, *spatial)`, output `(batch, 3)` in float32 or wider, never longer than
    `max_angle`.

    >>> MotionPredictor(8)(torch.randn(2, 8, 5, 5)).shape
    torch.Size([2, 3])
    """

    def __init__(self, in_channels: int, max_angle: float = MAX_ANGLE) -> None:
        super().__init__(
            Pointwise(in_channels, HIDDEN_CHANNELS),
            PositionBatchNorm(HIDDEN_CHANNELS),
            nn.ReLU(),
            Pointwise(HIDDEN_CHANNELS, 4),
        )
        self.max_angle = max_angle

    def forward(self, x: Tensor) -> Tensor:
        maps = x.flatten(2)
        for module in self:
            maps = module(maps)
        if maps.dtype == torch.float16 or maps.dtype == torch.bfloat16:
            maps = maps.float()  # angles and softmax sums need the range
        return axis_angle((maps * torch.softmax(maps, 2)).sum(2), self.max_angle)
