"""2D layers that own the same state in 3D: normalisation, pooling, padding, dropout and interpolation.

Such a layer becomes its 3D twin in place, by changing its class and the few numbers it holds per axis. Parameters,
buffers, hooks and flags stay what they are.
"""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from crossd.errors import CrossDError

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


def to_twin(module: nn.Module, path: str, pads_depth: bool) -> nn.Module:
    """Turn a 2D layer without a spatial weight into its 3D twin, in place; leave every other module as it is.

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
