"""Whole networks on images with each second way of the layer, and without it: what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from unittest import mock

from crossd.conv import CrossDConv, predictor
from crossd.networks import CrossDResNet
from torch import Tensor, nn


class Without(nn.Module):
    """The network with one way put out of reach: the input is never moved, or predictors' maps are made whole."""

    def __init__(self, way: tuple[Any, str, int], channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.way = way
        self.network = CrossDResNet(2, channels, classes, width=width)

    def forward(self, x: Tensor) -> Tensor:
        with mock.patch.object(*self.way):
            return self.network(x)


WAYS: Mapping[str, Callable[[int, int, int], nn.Module]] = MappingProxyType(
    {
        "CrossDResNet-18": lambda channels, width, classes: CrossDResNet(2, channels, classes, width=width),
        "kernels everywhere": lambda *arguments: Without((CrossDConv, "few_pixels", 0), *arguments),
        "whole maps": lambda *arguments: Without((predictor, "FEW_CHANNELS", 0), *arguments),
    }
)
