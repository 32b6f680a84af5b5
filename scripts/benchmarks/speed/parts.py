"""The parts of a Cross-D convolution of images, each a contestant: what a layer spends at least on each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from crossd.conv import CrossDConv
from crossd.conv.per_sample import convolve_per_sample
from crossd.conv.products import moved_kernels, times_transposed
from crossd.conv.separable import slice_blocks
from crossd.conv.windows import gather, mix_positions, windows_pay
from crossd.motion import motion_matrix, shift_factors, translation
from torch import Tensor, nn


class Part(nn.Module):
    """A part of `layer` on `(batch, in, height, width)`. What it does not have to make itself is made once.

    Args:
        layer: of images, odd kernels, motion `"shift"`.
    """

    def __init__(self, layer: CrossDConv) -> None:
        super().__init__()
        self.layer = layer
        self.ready: list[Tensor] = []

    def motion(self, x: Tensor) -> Tensor:
        return torch.linspace(-0.4, 0.4, 3 * len(x)).reshape(-1, 3)

    def by_windows(self, x: Tensor) -> bool:
        return windows_pay(x, self.layer.weight, self.layer.stride)


class Predictor(Part):
    """Input → motion."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.layer.predictor is not None
        return self.layer.predictor(x)


class Kernels(Part):
    """Motion → kernels: in blocks of slices' weighted sums where maps are small, whole elsewhere."""

    def forward(self, x: Tensor) -> Tensor:
        size, weight = self.layer.kernel_size[0], self.layer.weight.detach()
        if not self.by_windows(x):
            matrix = motion_matrix(self.motion(x), size, "shift", self.layer.view)
            return moved_kernels(weight, matrix).contiguous()
        depth, _ = shift_factors(translation(self.motion(x)), size, self.layer.view)
        kernels = torch.empty(0)
        for _, slices in slice_blocks(weight):
            kernels = torch.mm(depth, slices)
        return kernels


class Windows(Part):
    """What the kernel positions see, moved in the plane; nothing where maps are large."""

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        if not self.by_windows(x):
            return x
        seen, _ = gather(x, layer.kernel_size[0], layer.stride, layer.padding, layer.dilation)
        _, plane = shift_factors(translation(self.motion(x)), layer.kernel_size[0], layer.view)
        return mix_positions(plane.transpose(1, 2), seen)


class Products(Part):
    """The arithmetic of the convolution alone, with kernels and windows that are there already."""

    def forward(self, x: Tensor) -> Tensor:
        layer, by_windows = self.layer, self.by_windows(x)
        geometry = (layer.stride, layer.padding, layer.dilation)
        if not self.ready:
            kernels = layer.kernel(self.motion(x)).detach()
            if by_windows:
                seen, _ = gather(x, layer.kernel_size[0], *geometry)
                turned = kernels.flatten(3).transpose(2, 3).flatten(2)  # position before channel
                self.ready = [turned.contiguous(), seen.flatten(2)]
            else:
                self.ready = [kernels.contiguous()]
        if not by_windows:
            return convolve_per_sample(x, self.ready[0], *geometry, 1)
        return torch.stack([times_transposed(k, seen) for k, seen in zip(*self.ready, strict=True)])


PARTS: Mapping[str, Callable[[CrossDConv], Part]] = MappingProxyType(
    {"predictor": Predictor, "kernels": Kernels, "windows": Windows, "products": Products}
)
