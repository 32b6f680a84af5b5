"""Whole networks on images by both ways to convolve per sample, and by the one that serves any shape alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from unittest import mock

from crossd.conv import CrossDConv
from crossd.networks import CrossDResNet
from torch import Tensor, nn


def network(channels: int, width: int, classes: int) -> nn.Module:
    """The layer moves the input where its map has few pixels, and makes kernels elsewhere."""
    return CrossDResNet(2, channels, classes, width=width)


class KernelsEverywhere(nn.Module):
    """The same with a kernel per sample in every layer."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.network = network(channels, width, classes)

    def forward(self, x: Tensor) -> Tensor:
        with mock.patch.object(CrossDConv, "few_pixels", 0):
            return self.network(x)


WAYS: Mapping[str, Callable[[int, int, int], nn.Module]] = MappingProxyType(
    {"CrossDResNet-18": network, "kernels everywhere": KernelsEverywhere}
)
