"""convert(): what it refuses, with the layer's name and the remedy."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from crossd.conv import CrossDConv
from crossd.convert import convert
from crossd.errors import CrossDError
from torch import Tensor, nn


class OwnForward(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, (1, 1, 1, 1)))


class OwnNorm(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).relu()


class FrozenNorm2d(nn.Module):
    def forward(self, input: Tensor) -> Tensor:
        return input


def _hooked() -> nn.Module:
    conv = nn.Conv2d(2, 2, 3)
    conv.register_forward_hook(lambda module, inputs, output: output)
    return conv


def _block(*modules: nn.Module) -> nn.Module:
    return nn.ModuleDict({"block": nn.Sequential(nn.Conv2d(2, 2, 1), *modules)})


REFUSED = {
    "own forward": (
        lambda: OwnForward(2, 2, 3),
        "acs",
        r"'block\.1' is a OwnForward with a forward of its own.*Replace",
    ),
    "lazy": (lambda: nn.LazyConv2d(2, 3), "acs", r"'block\.1' is a LazyConv2d. Run one batch"),
    "lazy norm": (lambda: nn.LazyBatchNorm2d(), "acs", r"'block\.1' is a LazyBatchNorm2d. Run one batch"),
    "weight norm": (
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 2, 3)),
        "i3d",
        r"'block\.1' \(ParametrizedConv2d\) is derived from others.*remove_parametrizations",
    ),
    "old weight norm": (
        lambda: nn.utils.weight_norm(nn.Conv2d(2, 2, 3)),
        "i3d",
        r"'block\.1' \(Conv2d\) is derived from others.*remove_weight_norm",
    ),
    "hooks": (_hooked, "crossd", r"Hooks do not move to a new layer; 'block\.1'"),
    "oblong kernel": (lambda: nn.Conv2d(2, 2, (1, 3)), "crossd", r"'block\.1' has kernel_size=\(1, 3\).*conv2\.5d"),
    "oblong kernel, acs": (lambda: nn.Conv2d(2, 2, (1, 3)), "acs", r"'block\.1' has kernel_size=\(1, 3\)"),
    "oblong stride": (lambda: nn.Conv2d(2, 2, 3, (1, 2)), "conv2.5d", r"'block\.1' has stride=\(1, 2\)"),
    "oblong padding": (lambda: nn.Conv2d(2, 2, 3, 1, (1, 2)), "acs", r"'block\.1' has padding=\(1, 2\)"),
    "transposed": (
        lambda: nn.ConvTranspose2d(2, 2, 3),
        "crossd",
        r"'block\.1' is a ConvTranspose2d. Upsample by interpolation",
    ),
    "own norm": (
        lambda: OwnNorm(2),
        "acs",
        r"'block\.1' is a OwnNorm with a forward of its own.*torch\.nn\.BatchNorm2d",
    ),
    "unknown 2D layer": (lambda: FrozenNorm2d(), "acs", r"'block\.1' is a FrozenNorm2d, which has none here"),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), "acs", r"'block\.1' is a PixelShuffle, which has none here"),
    "bicubic": (lambda: nn.Upsample(scale_factor=2, mode="bicubic"), "acs", r"'block\.1' has mode 'bicubic'.*bilinear"),
    "oblong pooling": (lambda: nn.MaxPool2d((1, 2)), "acs", r"'block\.1' has kernel_size=\(1, 2\)"),
    "oblong padding layer": (
        lambda: nn.ZeroPad2d((1, 1, 0, 0)),
        "acs",
        r"'block\.1' pads \(1, 1\) along width and \(0, 0\)",
    ),
    "divisor": (lambda: nn.AvgPool2d(2, divisor_override=1), "acs", r"'block\.1' has divisor_override=1. Remove"),
    "Cross-D to acs": (lambda: CrossDConv(2, 2, 2, 3), "acs", r"'block\.1' is one, and to='acs'. Use crossd\.fold"),
    "3D Cross-D": (lambda: CrossDConv(3, 2, 2, 3), "2d", r"A 3D CrossDConv does not convert to 2D.*'block\.1' is one"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_layers_are_named_with_the_remedy(name: str) -> None:
    build, to, message = REFUSED[name]
    with pytest.raises(CrossDError, match=message):
        convert(_block(build()), **({"spatial_dims": 2} if to == "2d" else {"to": to}))


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (nn.Conv2d(1, 1, 3), {"to": "acsconv"}, "`to` must be one of 'crossd', 'conv3d'.*got 'acsconv'"),
        (
            nn.Conv2d(1, 1, 3),
            {"to": "acs", "spatial_dims": 2},
            '`spatial_dims` must be 3, or 2 with to="crossd"; got 2',
        ),
        (nn.Conv2d(1, 1, 3), {"to": "acs", "motion": "shift"}, "takes no options; got motion"),
        (nn.Conv2d(1, 1, 3), {"mode": "mean"}, "takes the options alignment, motion, view, momentum, fill; got mode"),
        (nn.Conv2d(1, 1, 3), {"motion": "turn"}, "`motion` must be one of 'shift', 'rotate'; got 'turn'"),
        (nn.Linear(2, 2), {}, "convert\\(\\) takes a network with 2D convolutions; Linear has none"),
    ],
)
def test_refused_calls(network: nn.Module, options: dict, message: str) -> None:
    with pytest.raises(CrossDError, match=message):
        convert(network, **options)


def test_scripted_networks_are_refused() -> None:
    with pytest.raises(CrossDError, match=r"must be an ordinary module; got a RecursiveScriptModule.*before scripting"):
        convert(torch.jit.script(nn.Conv2d(1, 1, 3)))
