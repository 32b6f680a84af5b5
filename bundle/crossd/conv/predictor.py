"""The small pointwise network that predicts a kernel's motion from the layer's input (paper Eq. 1)."""
# mypy: disable-error-code="operator, arg-type, index"
# torch types the items of a Sequential as bare modules; torch.jit.script refuses casts

# No `from __future__ import annotations`: torch.jit.script needs real annotations on `torch.jit.unused` methods.
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossd.motion import MAX_ANGLE, axis_angle

HIDDEN_CHANNELS = 16  # the official layer's width
FEW_CHANNELS, MANY_POSITIONS = 8, 8192  # of a network's first layer, whose hidden maps are larger than its input


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

    @torch.jit.unused
    def follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards a training batch's, as `forward` does."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
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
        if not torch.jit.is_scripting() and self._larger_than_input(maps):
            return axis_angle(self._by_sample(maps), self.max_angle)
        for module in self:
            maps = module(maps)
        if maps.dtype == torch.float16 or maps.dtype == torch.bfloat16:
            maps = maps.float()  # angles and softmax sums need the range
        return axis_angle((maps * torch.softmax(maps, 2)).sum(2), self.max_angle)

    @torch.jit.unused
    def _larger_than_input(self, x: Tensor) -> bool:
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_autocast_enabled("cpu"):
            return False  # a loop over samples would be written out, and sums in half precision lose the variance
        fits = x.device.type == "cpu" and x.dtype == self[0].weight.dtype and x.dtype in (torch.float32, torch.float64)
        large = x.shape[1] <= FEW_CHANNELS and x.shape[2] > MANY_POSITIONS
        return fits and large and type(self[1]) is PositionBatchNorm

    @torch.jit.unused
    def _by_sample(self, x: Tensor) -> Tensor:
        """The weighted sums `(batch, 4)` with the maps of one sample at a time, which stay in cache.

        The layer before batch norm is linear, so the statistics of its output follow from those of its input.
        """
        first, norm, last = self[0], self[1], self[3]
        mean, variance = norm.running_mean, norm.running_var
        if norm.training or mean is None or variance is None:
            count = x.shape[0] * x.shape[2]
            centre = x.mean((0, 2))
            spread = torch.stack([(sample - centre[:, None]) @ (sample - centre[:, None]).t() for sample in x]).sum(0)
            mean = first.weight @ centre + first.bias
            variance = (first.weight @ spread * first.weight).sum(1) / count
            norm.follow(mean.detach(), variance.detach() * (count / (count - 1)))
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        weight, bias = first.weight * scale[:, None], (first.bias - mean) * scale + norm.bias
        sums = []
        for sample in x:
            hidden = torch.addmm(bias[:, None], weight, sample).relu_()
            maps = torch.addmm(last.bias[:, None], last.weight, hidden)
            sums.append((maps * torch.softmax(maps, 1)).sum(1))
        return torch.stack(sums)
