"""`convert`: the walk over a 2D network."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from crossd.conv import CrossDConv
from crossd.convert.layer_by_layer import (
    TARGETS,
    check_plain,
    common_arguments,
    convert_convolution,
    convert_crossd,
    on_three_axes,
    to_twin,
)
from crossd.errors import CrossDError, one_of


def convert(network: nn.Module, to: str = "crossd", spatial_dims: int = 3, **options: Any) -> nn.Module:
    """A network for volumes from an existing 2D network of torch, torchvision or timm style.

    Every `Conv2d` becomes what `to` names; pooling, padding, interpolation and normalisation become their 3D twins;
    weights and statistics are carried over.

    A 2D kernel `k` becomes, by `to`:

    - `"crossd"`: a `CrossDConv` whose kernel at θ = 0 is `k` in the middle slice; options `alignment`, `motion`,
      `view`, `momentum`, and `fill` as of `crossd.embed_kernel`.
    - `"conv3d"`: a `Conv3d` with fresh random weights.
    - `"i3d"`: a `Conv3d` with `k` inflated along depth; option `mode`, `"mean"` (default), `"centre"` or
      `"tomographic"`.
    - `"acs"`: an `ACSConv` with the same 2D weight.
    - `"conv2.5d"`: a `Conv2_5d`, one slice deep.

    With `to="crossd"` and `spatial_dims=2` the network stays 2D, and its outputs are those of `network` (except for the
    fills `"mean"` and `"tomographic"`, whose 2D kernel is `k` under `view="projection"` only). A 2D network of
    `CrossDConv` layers becomes the 3D one with the same weights.

    Modules are converted, calls are not: a `forward` that itself reshapes, calls `interpolate(mode="bilinear")` or
    averages over axes `(2, 3)`, as some squeeze-and-excitation blocks do, stays two-dimensional. It fails on volumes
    or, in the last case, averages over depth and height only; check such blocks. A `Linear` over flattened positions
    (VGG's 7×7) no longer fits: pool to one position before it.

    Args:
        network: any module, a single `Conv2d` included; it is not changed.
        spatial_dims: 3, or 2 with `to="crossd"`.
        options: of the target, see the table.

    Returns:
        An ordinary module of the class of `network` (of a layer, the new layer). Modules that were shared stay shared.

    Raises:
        CrossDError: for an unknown target or option, a network without 2D convolutions, or a layer that has no
            counterpart (a convolution with its own forward, a transposed one, a kernel that is not square …), naming
            the layer and the remedy. Nothing is changed then.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    >>> convert(network, to="acs")(torch.randn(2, 3, 5, 9, 9)).shape
    torch.Size([2, 8, 1, 1, 1])
    """
    _check(network, to, spatial_dims, options)
    converted: dict[nn.Module, nn.Module] = {}
    tied: dict[nn.Parameter, nn.Parameter] = {}

    def visit(module: nn.Module, path: str) -> nn.Module:
        if module not in converted:
            converted[module] = _replace(module, path, to, spatial_dims, options)
            _tie(module, converted[module], tied)
            for name, child in module._modules.items():
                if child is not None and converted[module] is module:
                    module._modules[name] = visit(child, f"{path}.{name}" if path else name)
        return converted[module]

    return visit(copy.deepcopy(network), "")


def _check(network: nn.Module, to: str, spatial_dims: int, options: dict[str, Any]) -> None:
    one_of("to", to, TARGETS)
    if spatial_dims not in (2, 3) or (spatial_dims == 2 and to != "crossd"):
        raise CrossDError(f'`spatial_dims` must be 3, or 2 with to="crossd"; got {spatial_dims!r} with to={to!r}.')
    unknown = sorted(set(options) - set(TARGETS[to]))
    if unknown:
        takes = f"the options {', '.join(TARGETS[to])}" if TARGETS[to] else "no options"
        raise CrossDError(f"convert(to={to!r}) takes {takes}; got {', '.join(unknown)}.")
    if isinstance(network, torch.jit.ScriptModule):
        raise CrossDError(
            f"A network must be an ordinary module; got a {type(network).__name__}, whose layers are fixed. Convert "
            "the network before scripting it."
        )
    for path, module in network.named_modules():  # before the copy, which can copy neither lazy nor derived weights
        if isinstance(module, nn.modules.lazy.LazyModuleMixin):
            raise CrossDError(
                f"A layer must know its shape; {path!r} is a {type(module).__name__}. Run one batch through the "
                "network."
            )
        if isinstance(module, nn.Conv2d):
            check_plain(module, path or type(module).__name__)
    if not any(isinstance(module, nn.Conv2d | CrossDConv) for module in network.modules()):
        raise CrossDError(
            f"convert() takes a network with 2D convolutions; {type(network).__name__} has none. Pass the 2D network."
        )


def _replace(module: nn.Module, path: str, to: str, spatial_dims: int, options: dict[str, Any]) -> nn.Module:
    path = path or type(module).__name__
    if isinstance(module, CrossDConv):
        return convert_crossd(module, path, to, spatial_dims, options)
    if isinstance(module, nn.Conv2d):
        return convert_convolution(module, path, to, spatial_dims, options)
    if spatial_dims == 2:
        return module
    if isinstance(module, nn.ConvTranspose2d):
        return _transposed(module, path, to)
    if isinstance(module, nn.Softmax2d):
        return nn.Softmax(dim=1)
    return to_twin(module, path, pads_depth=to != "conv2.5d")


def _transposed(conv: nn.ConvTranspose2d, path: str, to: str) -> nn.Module:
    """Only fresh weights have a 3D counterpart: how a transposed kernel spreads over depth depends on the stride."""
    if to != "conv3d" or type(conv).forward is not nn.ConvTranspose2d.forward:
        raise CrossDError(
            f"A transposed convolution has no counterpart under to={to!r}; {path!r} is a {type(conv).__name__}. "
            'Upsample by interpolation and a convolution (nn.Upsample, nn.Conv2d) instead, or use to="conv3d".'
        )
    names = ("kernel_size", "stride", "padding", "output_padding", "dilation")
    per_axis = {name: on_three_axes(getattr(conv, name), name, path) for name in names}
    fresh = nn.ConvTranspose3d(conv.in_channels, conv.out_channels, **common_arguments(conv), **per_axis)
    return fresh.train(conv.training)


def _tie(source: nn.Module, target: nn.Module, tied: dict[nn.Parameter, nn.Parameter]) -> None:
    """Parameters that several 2D layers shared are shared by the new layers too."""
    if source is target:
        return
    for name, parameter in source._parameters.items():
        if parameter is not None and target._parameters.get(name) is not None:
            target._parameters[name] = tied.setdefault(parameter, target._parameters[name])  # type: ignore[arg-type]
