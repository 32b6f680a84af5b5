"""The parts of EfficientNet-Lite: TensorFlow's padding, and blocks of pointwise and depthwise convolutions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from monai.networks.layers import Conv, Norm
from torch import Tensor, fx, nn

from crossd.conv import CrossDConv


def same_padded(x: Tensor, kernel_size: int, stride: int) -> Tensor:
    """Zeros around `(batch, channel, *spatial)` so that a convolution gives `⌈size / stride⌉`, as TensorFlow's "same".

    Along each axis there are `K − 1 − (size − 1) mod stride` of them, the larger half at the end: for stride 2 one less
    in all where the size is even. So the grid of outputs lies half a pixel further on there than where it is odd.

    >>> same_padded(torch.ones(1, 1, 4, 5), 3, 2)[0, 0].sum(0), same_padded(torch.ones(1, 1, 4, 5), 3, 2)[0, 0].sum(1)
    (tensor([0., 4., 4., 4., 4., 4., 0.]), tensor([5., 5., 5., 5., 0.]))
    """
    amounts: list[int] = []
    for axis in range(x.dim() - 1, 1, -1):
        total = kernel_size - 1 - (x.shape[axis] - 1) % stride
        amounts += [total // 2, total - total // 2]
    return F.pad(x, amounts)


def channels_last(x: Tensor) -> Tensor:
    """Volumes on a CPU with channels innermost in memory, as what follows keeps them; other maps as they are.

    There the depthwise 3D convolutions of torch 2.13 are 1.4 to 50 times as fast, and answers are the same.

    >>> channels_last(torch.zeros(1, 2, 3, 4, 5)).stride()
    (120, 1, 40, 10, 2)
    """
    if not torch.jit.is_scripting():  # noqa: SIM102 - alone, for a script reads no further
        if torch.onnx.is_in_onnx_export():
            return x  # where order in memory has no meaning
    if x.dim() == 5 and not x.is_cuda:
        return x.contiguous(memory_format=torch.channels_last_3d)
    return x


fx.wrap("same_padded")  # one operation where batch norms are fused, as its loop depends on the input
fx.wrap("channels_last")


class DepthwiseSeparable(nn.Module):
    """A depthwise convolution of stride 1, then a pointwise one: `(batch, entering, …)` → `(batch, channels, …)`."""

    def __init__(self, spatial_dims: int, entering: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv_dw = _depthwise(spatial_dims, entering, kernel, 1)
        self.bn1 = lite_norm(spatial_dims, entering)
        self.act1 = nn.ReLU6(inplace=True)
        self.conv_pw = Conv[Conv.CONV, spatial_dims](entering, channels, 1, bias=False)
        self.bn2 = lite_norm(spatial_dims, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.bn1(self.conv_dw(x)))
        return self.bn2(self.conv_pw(x))  # type: ignore[no-any-return]


class InvertedResidual(nn.Module):
    """Pointwise to more channels, depthwise, pointwise to few (MBConv); added to its input where shapes agree.

    `(batch, entering, *spatial)` → `(batch, channels, ⌈spatial / stride⌉)`.
    """

    def __init__(
        self, spatial_dims: int, entering: int, channels: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        convolution, hidden = Conv[Conv.CONV, spatial_dims], entering * expansion
        self.kernel, self.stride, self.adds = kernel, stride, stride == 1 and entering == channels
        self.conv_pw = convolution(entering, hidden, 1, bias=False)
        self.bn1 = lite_norm(spatial_dims, hidden)
        self.act1 = nn.ReLU6(inplace=True)
        self.conv_dw = _depthwise(spatial_dims, hidden, kernel, stride)
        self.bn2 = lite_norm(spatial_dims, hidden)
        self.act2 = nn.ReLU6(inplace=True)
        self.conv_pwl = convolution(hidden, channels, 1, bias=False)
        self.bn3 = lite_norm(spatial_dims, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.bn1(self.conv_pw(x)))
        if self.stride > 1:
            y = same_padded(y, self.kernel, self.stride)
        y = self.bn3(self.conv_pwl(self.act2(self.bn2(self.conv_dw(y)))))
        return x + y if self.adds else y


def _depthwise(spatial_dims: int, channels: int, kernel: int, stride: int) -> nn.Module:
    """Padded by itself for stride 1, where "same" does not depend on the size."""
    padding = kernel // 2 if stride == 1 else 0
    convolution = Conv[Conv.CONV, spatial_dims]
    return convolution(channels, channels, kernel, stride=stride, padding=padding, groups=channels, bias=False)  # type: ignore[no-any-return]


def lite_norm(spatial_dims: int, channels: int) -> nn.Module:
    """Batch norm with the epsilon and momentum of EfficientNet."""
    return Norm[Norm.BATCH, spatial_dims](channels, eps=1e-3, momentum=0.01)  # type: ignore[no-any-return]


@torch.no_grad()
def initialise(network: nn.Module) -> None:
    """Kaiming by the outputs of a group, as EfficientNet; `CrossDConv` itself does not divide them by the groups."""
    for module in network.modules():
        if isinstance(module, CrossDConv | nn.Conv2d | nn.Conv3d):
            outputs = module.weight[0, 0].numel() * module.out_channels // module.groups
            module.weight.normal_(0, math.sqrt(2 / outputs))
