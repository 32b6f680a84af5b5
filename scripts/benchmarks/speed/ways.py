"""Ways to compute one Cross-D convolution of images from given motions, each a contestant: which one a shape wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from crossd.conv import CrossDConv
from crossd.conv.on_input import MotionOnInput
from crossd.conv.separable import SeparableConvolution
from crossd.motion import motion_matrix, shift_factors, translation
from torch import Tensor

from scripts.benchmarks.speed.parts import Part


class InTurn(Part):
    """A kernel per sample, and one convolution after the other."""

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        geometry = (None, layer.stride, layer.padding, layer.dilation)
        kernels = layer.kernel(self.motion(x))
        return torch.cat([F.conv2d(x[i : i + 1], kernel, *geometry) for i, kernel in enumerate(kernels)])


class Grouped(Part):
    """A kernel per sample, and one grouped convolution."""

    def forward(self, x: Tensor) -> Tensor:
        layer, batch = self.layer, len(x)
        kernels = layer.kernel(self.motion(x)).flatten(0, 1)
        stacked = x.reshape(1, -1, *x.shape[2:])
        y = F.conv2d(stacked, kernels, None, layer.stride, layer.padding, layer.dilation, batch)
        return y.reshape(batch, -1, *y.shape[2:])


class SlicesOnWindows(Part):
    """Windows moved in the plane, kernels of a weighted sum of slices."""

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        depth, plane = shift_factors(translation(self.motion(x)), layer.kernel_size[0], layer.view)
        geometry = (layer.stride, layer.padding, layer.dilation)
        y: Tensor = SeparableConvolution.apply(x, layer.weight, depth, plane, *geometry)
        return y


class WeightOnWindows(Part):
    """Windows moved in all directions, one product with the stored weight: `K` times the arithmetic, no kernels."""

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        matrix = motion_matrix(self.motion(x), layer.kernel_size[0], "shift", layer.view)
        y: Tensor = MotionOnInput.apply(x, layer.weight, matrix, layer.stride, layer.padding, layer.dilation)
        return y


WAYS: Mapping[str, Callable[[CrossDConv], Part]] = MappingProxyType(
    {
        "kernels in turn": InTurn,
        "kernels grouped": Grouped,
        "slices on windows": SlicesOnWindows,
        "weight on windows": WeightOnWindows,
    }
)
