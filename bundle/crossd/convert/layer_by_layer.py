"""What becomes of one layer: of 2D convolutions by target, and of layers that own the same state in 3D."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from crossd.baselines import ACSConv, Conv2_5d
from crossd.conv import CrossDConv, embed_kernel, inflate_kernel
from crossd.errors import CrossDError

# target -> options it takes
TARGETS: dict[str, tuple[str, ...]] = {
    "crossd": ("alignment", "motion", "view", "momentum", "fill"),
    "conv3d": (),
    "i3d": ("mode",),
    "acs": (),
    "conv2.5d": (),
}
# 2D class -> (3D class, attributes with one value per axis)
TWINS: dict[type[nn.Module], tuple[type[nn.Module], tuple[str, ...]]] = {
    nn.BatchNorm2d: (nn.BatchNorm3d, ()),
    nn.InstanceNorm2d: (nn.InstanceNorm3d, ()),
    nn.Dropout2d: (nn.Dropout3d, ()),
    nn.MaxPool2d: (nn.MaxPool3d, ("kernel_size", "stride", "padding", "dilation")),
    nn.MaxUnpool2d: (nn.MaxUnpool3d, ("kernel_size", "stride", "padding")),
    nn.AvgPool2d: (nn.AvgPool3d, ("kernel_size", "stride", "padding")),
    nn.LPPool2d: (nn.LPPool3d, ("kernel_size", "stride")),
    nn.AdaptiveAvgPool2d: (nn.AdaptiveAvgPool3d, ("output_size",)),
    nn.AdaptiveMaxPool2d: (nn.AdaptiveMaxPool3d, ("output_size",)),
    nn.Upsample: (nn.Upsample, ("size", "scale_factor")),
    nn.UpsamplingBilinear2d: (nn.Upsample, ("size", "scale_factor")),
    nn.UpsamplingNearest2d: (nn.Upsample, ("size", "scale_factor")),
    nn.ZeroPad2d: (nn.ZeroPad3d, ()),
    nn.ConstantPad2d: (nn.ConstantPad3d, ()),
    nn.ReflectionPad2d: (nn.ReflectionPad3d, ()),
    nn.ReplicationPad2d: (nn.ReplicationPad3d, ()),
    nn.CircularPad2d: (nn.CircularPad3d, ()),
}
UPSAMPLING = {"nearest": "nearest", "nearest-exact": "nearest-exact", "bilinear": "trilinear"}
PADDINGS = (nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d)
# layers of torch that take images only, without saying so in their name
IMAGES_ONLY = (nn.PixelShuffle, nn.PixelUnshuffle, nn.Fold, nn.Unfold)


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


def to_twin(module: nn.Module, path: str, pads_depth: bool) -> nn.Module:
    """Turn a 2D layer without a spatial weight into its 3D twin, in place; leave every other module as it is.

    By changing its class and the few numbers it holds per axis: parameters, buffers, hooks and flags stay.

    Args:
        module: of the copy that is being converted.
        path: its name in the network, for messages.
        pads_depth: whether padding layers pad depth too; not for a network whose kernels are one slice deep.

    >>> to_twin(nn.MaxPool2d(3, 2, 1), "pool", True)
    MaxPool3d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)
    """
    base = next((kind for kind in type(module).__mro__ if kind in TWINS), None)
    if base is None:
        images_only = isinstance(module, IMAGES_ONLY) or re.search("2[dD]$", type(module).__name__)
        if images_only and not any(True for _ in module.children()):
            raise CrossDError(
                f"Every 2D layer must have a 3D counterpart; {path!r} is a {type(module).__name__}, which has none "
                "here. Replace it in the 2D network by a layer of torch.nn first."
            )
        return module
    if type(module).forward is not base.forward:
        raise CrossDError(
            f"A layer is converted by what its torch.nn class computes; {path!r} is a {type(module).__name__} with a "
            f"forward of its own. Replace it in the 2D network by a plain torch.nn.{base.__name__} first."
        )
    twin, per_axis = TWINS[base]
    changes = {name: on_three_axes(getattr(module, name), name, path) for name in per_axis}
    if isinstance(module, PADDINGS):
        changes["padding"] = _depth_padded(tuple(module.padding), path, pads_depth)
    if isinstance(module, nn.Upsample):
        if module.mode not in UPSAMPLING:
            raise CrossDError(
                f"Upsampling in 3D is nearest, nearest-exact or trilinear; {path!r} has mode {module.mode!r}. "
                'Use mode="bilinear" in the 2D network.'
            )
        changes["mode"] = UPSAMPLING[module.mode]
    if isinstance(module, nn.AvgPool2d) and module.divisor_override is not None:
        raise CrossDError(
            f"AvgPool2d divides by the window's size to have a 3D counterpart; {path!r} has divisor_override="
            f"{module.divisor_override}. Remove it, and scale the output instead."
        )
    module.__class__ = twin
    for name, value in changes.items():
        setattr(module, name, value)
    return module


def on_three_axes(value: Any, name: str, path: str) -> Any:
    """`(height, width)` → `(depth, height, width)` where both are equal; a single value stands for any axis.

    >>> on_three_axes((2, 2), "stride", "conv1"), on_three_axes(3, "stride", "conv1")
    ((2, 2, 2), 3)
    """
    if not isinstance(value, tuple | list):
        return value
    if len(set(value)) != 1:
        raise CrossDError(
            f"Depth takes the value that height and width share; {path!r} has {name}={tuple(value)}. Use equal values "
            "in the 2D network, or write this layer in 3D by hand."
        )
    return (value[0],) * 3


def _depth_padded(padding: tuple[int, ...], path: str, pads_depth: bool) -> tuple[int, ...]:
    """`(left, right, top, bottom)` → `(left, right, top, bottom, front, back)`, as `torch.nn.ZeroPad3d` counts."""
    if not pads_depth:
        return (*padding, 0, 0)
    if padding[:2] != padding[2:]:
        raise CrossDError(
            f"Depth is padded as height and width are; {path!r} pads {padding[:2]} along width and {padding[2:]} along "
            "height. Use equal values in the 2D network."
        )
    return (*padding, *padding[:2])
