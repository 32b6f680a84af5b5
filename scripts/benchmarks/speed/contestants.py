"""Who takes part: layers of one shape, kernel generation alone, and whole networks, each by name.

All are built without bias where the published layer has none, from one seed, and take the same input: volumetric layers
see an image as a volume of depth 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from crossd.baselines import ACSConv
from crossd.conv import CrossDConv, fold
from crossd.errors import CrossDError
from crossd.networks import CrossDEfficientNetLite, CrossDResNet, MultiView
from monai.networks.nets import EfficientNetBN, resnet18
from torch import Tensor, nn

from scripts.benchmarks.speed import backends
from scripts.benchmarks.speed.fft import FFTConv2d, moved_by_fft, with_fft
from scripts.benchmarks.speed.ways import WAYS


class DepthOne(nn.Module):
    """A volumetric layer on images: `(batch, in, height, width)` → `(batch, out, height, width)`."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.unsqueeze(2)).squeeze(2)


class Generation(nn.Module):
    """Kernel generation alone: motion vectors `(batch, 3)` → kernels `(batch, out, in, K, K)`."""

    def __init__(self, layer: CrossDConv) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, motion_vector: Tensor) -> Tensor:
        return self.layer.kernel(motion_vector)


class FFTGeneration(Generation):
    """The same by the published algorithm."""

    def forward(self, motion_vector: Tensor) -> Tensor:
        angle = torch.linalg.vector_norm(motion_vector, dim=1, keepdim=True)
        return moved_by_fft(self.layer.weight, motion_vector / angle, angle)


def _crossd(channels: int, out: int, size: int) -> CrossDConv:
    return CrossDConv(2, channels, out, size, padding=size // 2, bias=False)


def _options(channels: int, classes: int) -> dict[str, Any]:
    return dict(n_input_channels=channels, num_classes=classes, conv1_t_stride=2)


def _monai(spatial_dims: int, channels: int, classes: int) -> nn.Module:
    return resnet18(spatial_dims=spatial_dims, bias_downsample=False, shortcut_type="B", **_options(channels, classes))


def _volume(channels: int, classes: int, alignment: str = "running") -> CrossDResNet:
    return CrossDResNet(3, channels, classes, alignment=alignment)


def _lite(spatial_dims: int, channels: int, classes: int) -> CrossDEfficientNetLite:
    return CrossDEfficientNetLite(spatial_dims, channels, classes, alignment="rest")


LAYERS: Mapping[str, Callable[[int, int, int], nn.Module]] = MappingProxyType(
    {
        "Conv2d": lambda channels, out, size: nn.Conv2d(channels, out, size, padding=size // 2, bias=False),
        "CrossDConv": _crossd,
        "FFT": lambda channels, out, size: FFTConv2d(_crossd(channels, out, size)),
        "ACSConv": lambda channels, out, size: DepthOne(ACSConv(channels, out, size, padding=size // 2, bias=False)),
        "Conv3d": lambda channels, out, size: DepthOne(nn.Conv3d(channels, out, size, padding=size // 2, bias=False)),
    }
)
GENERATORS: Mapping[str, Callable[[int, int, int], nn.Module]] = MappingProxyType(
    {
        "CrossDConv": lambda channels, out, size: Generation(_crossd(channels, out, size)),
        "FFT": lambda channels, out, size: FFTGeneration(_crossd(channels, out, size)),
    }
)
NETWORKS: Mapping[str, Callable[[int, int], nn.Module]] = MappingProxyType(
    {
        "ResNet-18": lambda channels, classes: _monai(2, channels, classes),
        "CrossDResNet-18": lambda channels, classes: CrossDResNet(2, channels, classes),
        "FFT ResNet-18": lambda channels, classes: with_fft(CrossDResNet(2, channels, classes)),
        "MONAI ResNet-18": lambda channels, classes: _monai(3, channels, classes),
        "folded": lambda channels, classes: fold(_volume(channels, classes)),
        "running": _volume,
        "dynamic": lambda channels, classes: _volume(channels, classes, "dynamic"),
        "lite0": lambda channels, classes: CrossDEfficientNetLite(2, channels, classes),
        "lite0, folded": lambda channels, classes: fold(_lite(2, channels, classes)),
        "lite0 3D, folded": lambda channels, classes: fold(_lite(3, channels, classes)),
        "MONAI EfficientNet-B0": lambda channels, classes: EfficientNetBN(
            "efficientnet-b0", pretrained=False, spatial_dims=3, in_channels=channels, num_classes=classes
        ),
        "MultiView, projections": lambda channels, classes: fold(
            MultiView(3, channels, classes, {"name": "CrossDEfficientNetLite"}, views=["projections"])
        ),
    }
)
KINDS: Mapping[str, Mapping[str, Callable[..., nn.Module]]] = MappingProxyType(
    {"layer": LAYERS, "generation": GENERATORS, "network": NETWORKS, "width": WAYS, "backend": backends.NETWORKS}
)


def build(kind: str, name: str, arguments: tuple[int, ...], seed: int = 0) -> nn.Module:
    """A contestant with random weights.

    Args:
        kind: `"layer"`, `"generation"` (arguments `in, out, K`), `"network"` (arguments `in, classes`), `"width"`
            (arguments `in, width, classes`) or `"backend"` (arguments `in, classes, width, batch, edge`).
        name: one of `KINDS[kind]`.
        arguments: see `kind`.
        seed: of its weights; one seed gives `FFT` those of `CrossDConv`, so both compute the same function.

    Raises:
        CrossDError: for a name that does not take part.

    >>> build("layer", "Conv3d", (3, 8, 5))(torch.randn(1, 3, 9, 9)).shape
    torch.Size([1, 8, 9, 9])
    """
    builders = KINDS.get(kind, {})
    if name not in builders:
        raise CrossDError(f"The contestants of {kind!r} are {', '.join(builders) or 'none'}; got {name!r}. Use those.")
    torch.manual_seed(seed)
    return builders[name](*arguments)
