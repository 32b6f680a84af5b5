"""Contestants of the inference backends: one architecture by MONAI in PyTorch, and ours by each backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from crossd.inference import BACKENDS, accelerate
from crossd.networks import CrossDResNet
from monai.networks.nets import resnet18
from torch import nn

BY_NAME = tuple(name for name in BACKENDS if name != "auto")


def monai_network(channels: int, classes: int, width: int, batch: int, edge: int) -> nn.Module:
    """MONAI's ResNet-18, eager; the example's size does not matter to it."""
    return resnet18(
        spatial_dims=3,
        n_input_channels=channels,
        num_classes=classes,
        widen_factor=width / 64,
        conv1_t_stride=2,
        bias_downsample=False,
        shortcut_type="B",
    )


def accelerated(backend: str) -> Callable[[int, int, int, int, int], nn.Module]:
    """A function that makes `CrossDResNet` of depth 18 run by a backend, prepared with an example of the input's size.

    >>> accelerated("torchscript")(1, 2, 4, 1, 16).chosen
    'torchscript'
    """

    def make(channels: int, classes: int, width: int, batch: int, edge: int) -> nn.Module:
        network = CrossDResNet(3, channels, classes, width=width)
        with torch.no_grad():
            return accelerate(network, torch.randn(batch, channels, edge, edge, edge), backend)

    return make


NETWORKS: Mapping[str, Callable[[int, int, int, int, int], nn.Module]] = MappingProxyType(
    {"MONAI ResNet-18": monai_network, **{name: accelerated(name) for name in BY_NAME}}
)
