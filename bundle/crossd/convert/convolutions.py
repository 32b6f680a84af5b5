"""What each target makes of one 2D convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from crossd.baselines import ACSConv, Conv2_5d
from crossd.conv import CrossDConv, embed_kernel, inflate_kernel
from crossd.convert.twins import on_three_axes
from crossd.errors import CrossDError

# target -> options it takes
TARGETS: dict[str, tuple[str, ...]] = {
    "crossd": ("alignment", "motion", "view", "momentum", "fill"),
    "conv3d": (),
    "i3d": ("mode",),
    "acs": (),
    "conv2.5d": (),
}


@torch.no_grad()
def convert_convolution(conv: nn.Conv2d, path: str, to: str, spatial_dims: int, options: dict[str, Any]) -> nn.Module:
    """The layer that takes the place of a 2D convolution; see `crossd.convert` for the targets.

    Returns:
        A new layer on the same device, in the same dtype and mode, trainable where `conv` is.
    """
    arguments = {"in_channels": conv.in_channels, "out_channels": conv.out_channels, **common_arguments(conv)}
    for name in ("stride", "padding", "dilation"):
        value = getattr(conv, name)
        in_plane = spatial_dims == 2 or (to == "conv2.5d" and name != "stride")
        arguments[name] = value if in_plane else on_three_axes(value, name, path)
    if to != "conv2.5d" and conv.kernel_size[0] != conv.kernel_size[1]:
        raise CrossDError(
            f"Depth takes the kernel size that height and width share; {path!r} has kernel_size={conv.kernel_size}. "
            'Pad its kernel with zeros to a square in the 2D network, or use to="conv2.5d".'
        )
    arguments["kernel_size"] = conv.kernel_size if to == "conv2.5d" else conv.kernel_size[0]

    layer: CrossDConv | ACSConv | nn.Conv3d
    if to == "crossd":
        fill = options.get("fill", "centre")
        motion = {name: value for name, value in options.items() if name != "fill"}
        layer = CrossDConv(spatial_dims, **arguments, **motion)
        layer.weight.copy_(embed_kernel(conv.weight, alignment=layer.alignment, motion=layer.motion, fill=fill))
        if layer.predictor is not None:
            # θ = 0 for every input. Only the angle's row: were the axis zero too, no gradient would ever reach either.
            last: Any = layer.predictor[3]
            last.weight[3], last.bias[3] = 0, 0
    elif to == "acs":
        layer = ACSConv(**arguments)
        layer.weight.copy_(conv.weight)
    elif to == "conv2.5d":
        layer = Conv2_5d(**arguments)
        layer.weight.copy_(conv.weight.unsqueeze(2))
    else:
        layer = nn.Conv3d(**arguments)
        if to == "i3d":
            layer.weight.copy_(inflate_kernel(conv.weight, **options))
    if not conv.weight.requires_grad:
        layer.requires_grad_(False)
    if conv.bias is not None and layer.bias is not None:
        if to != "conv3d":
            layer.bias.copy_(conv.bias)
        layer.bias.requires_grad_(conv.bias.requires_grad)
    return layer.train(conv.training)


def check_plain(conv: nn.Conv2d, path: str) -> None:
    """Refuse what would be lost with the module: another forward, derived weights, hooks."""
    name = type(conv).__name__
    if not isinstance(conv._parameters.get("weight"), nn.Parameter):
        raise CrossDError(
            f"The weight of a convolution must be a parameter; that of {path!r} ({name}) is derived from others. "
            "Remove them first (torch.nn.utils.parametrize.remove_parametrizations, or remove_weight_norm)."
        )
    if type(conv).forward is not nn.Conv2d.forward or type(conv)._conv_forward is not nn.Conv2d._conv_forward:
        raise CrossDError(
            f"A convolution is converted by what torch.nn.Conv2d computes; {path!r} is a {name} with a forward of its "
            "own. Replace it in the 2D network by a plain torch.nn.Conv2d with the same weight first."
        )
    if conv._forward_hooks or conv._forward_pre_hooks or conv._backward_hooks:
        raise CrossDError(
            f"Hooks do not move to a new layer; {path!r} ({name}) has some. Remove them before, and register them "
            "after the conversion."
        )


def common_arguments(conv: Any) -> dict[str, Any]:
    """What a convolution has in common with the one that takes its place."""
    return {
        "groups": conv.groups,
        "bias": conv.bias is not None,
        "padding_mode": conv.padding_mode,
        "device": conv.weight.device,
        "dtype": conv.weight.dtype,
    }


@torch.no_grad()
def convert_crossd(layer: CrossDConv, path: str, to: str, spatial_dims: int, options: dict[str, Any]) -> CrossDConv:
    """A Cross-D layer with the same state, in another number of dimensions or with other options."""
    if to != "crossd" or "fill" in options:
        raise CrossDError(
            f'A CrossDConv converts only to="crossd" and without `fill`; {path!r} is one, and to={to!r}. Use '
            "crossd.fold(network) for plain convolutions, or start from the plain 2D network."
        )
    per_axis: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    if spatial_dims == 3 and layer.spatial_dims == 2:
        per_axis = {name: on_three_axes(value, name, path) for name, value in per_axis.items()}
    elif spatial_dims != layer.spatial_dims:
        raise CrossDError(
            f"A 3D CrossDConv does not convert to 2D with its strides; {path!r} is one. Build the 2D network."
        )
    alignment = layer.alignment if spatial_dims == layer.spatial_dims else None
    kept = {"alignment": alignment, "motion": layer.motion, "view": layer.view, "momentum": layer.momentum}
    if layer.predictor is not None:
        kept["max_angle"] = layer.predictor.max_angle
    arguments = {**per_axis, **common_arguments(layer), **kept, **options}
    again = CrossDConv(spatial_dims, layer.in_channels, layer.out_channels, layer.kernel_size[0], **arguments)
    again.through_plane = layer.through_plane if spatial_dims == 2 else 0  # volumes show all axes
    again.load_state_dict(layer.state_dict())
    again.weight.requires_grad_(layer.weight.requires_grad)
    if layer.bias is not None and again.bias is not None:
        again.bias.requires_grad_(layer.bias.requires_grad)
    return again.train(layer.training)
