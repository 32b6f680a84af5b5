"""The small pointwise network that predicts a kernel's motion from the layer's input (paper Eq. 1)."""
# mypy: disable-error-code="operator, arg-type"
# torch types the items of a Sequential as bare modules; torch.jit.script refuses casts

# No `from __future__ import annotations`: torch.jit.script needs real annotations on `torch.jit.unused` methods.
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossd.conv.pooling import PooledMaps, centre_and_spread, normalised, pieces_pay
from crossd.motion import MAX_ANGLE, axis_angle

HIDDEN_CHANNELS = 16  # the official layer's width


class Pointwise(nn.Linear):
    """A linear layer over channels at every position: `(batch, in, positions)` → `(batch, out, positions)`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.weight.unsqueeze(2), self.bias)


class PositionBatchNorm(nn.BatchNorm1d):
    """Batch norm over positions that uses its running statistics when a training batch has one value per channel."""

    def forward(self, x: Tensor) -> Tensor:
        use_batch = self.training and x.shape[0] * x.shape[2] > 1
        if use_batch and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        momentum = 0.1 if self.momentum is None else self.momentum
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, use_batch, momentum, self.eps
        )

    @torch.jit.unused
    def follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards a training batch's, as `forward` does."""
        if self.training and self.running_mean is not None and self.running_var is not None:
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
            momentum = 0.1 if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance, momentum)


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
        if not torch.jit.is_scripting() and self._in_pieces(maps):
            return axis_angle(self._sums_of_pieces(maps), self.max_angle)
        norm = self[1]
        mean, variance = norm.running_mean, norm.running_var
        if norm.training or mean is None or variance is None:
            for module in self:
                maps = module(maps)
        else:  # a fixed batch norm is part of the first layer: one pass less over the largest map
            weight, bias = normalised(self[0].weight, self[0].bias, norm.weight, norm.bias, mean, variance, norm.eps)
            maps = F.conv1d(maps, weight.unsqueeze(2), bias.squeeze(1))
            maps = self[3](F.relu(maps))
        if maps.dtype == torch.float16 or maps.dtype == torch.bfloat16:
            maps = maps.float()  # angles and softmax sums need the range
        return axis_angle((maps * torch.softmax(maps, 2)).sum(2), self.max_angle)

    @torch.jit.unused
    def _in_pieces(self, maps: Tensor) -> bool:
        return type(self[1]) is PositionBatchNorm and pieces_pay(maps, self[0].weight)

    @torch.jit.unused
    def _sums_of_pieces(self, maps: Tensor) -> Tensor:
        first, norm, last = self[0], self[1], self[3]
        mean, variance, centre, spread = norm.running_mean, norm.running_var, None, None
        if norm.training or mean is None or variance is None:
            with torch.no_grad():
                centre, spread = centre_and_spread(maps)
                count = maps.shape[0] * maps.shape[2]
                mean = first.weight @ centre + first.bias
                variance = ((first.weight @ spread) * first.weight).sum(1) / count
                norm.follow(mean, variance * (count / (count - 1)))
        sums: Tensor = PooledMaps.apply(
            maps,
            first.weight,
            first.bias,
            norm.weight,
            norm.bias,
            last.weight,
            last.bias,
            mean,
            variance,
            centre,
            spread,
            norm.eps,
        )
        return sums
