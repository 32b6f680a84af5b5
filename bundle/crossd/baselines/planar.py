"""2.5D convolution: a 2D kernel on every depth slice, and nothing across slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from crossd.errors import CrossDError


class Conv2_5d(nn.Conv3d):
    """A `torch.nn.Conv3d` whose kernel is `1×K×K` (Yang et al., "Reinventing 2D Convolutions for 3D Images", arXiv
    1911.10477, section 4).

    The weight is that of a 2D convolution with a depth axis of one: `weight2d.unsqueeze(2)`.

    Args:
        in_channels, out_channels, groups, bias, padding_mode, device, dtype: as in `torch.nn.Conv2d`.
        kernel_size, padding, dilation: in the plane, one number or `(height, width)`; depth is neither padded nor
            dilated. `padding` may be `"same"` or `"valid"`.
        stride: one number for all three axes (layers then stay aligned with 3D pooling), or `(depth, height, width)`.

    Shapes: `(batch, in_channels, depth, height, width)` → `(batch, out_channels, depth_out, height_out, width_out)`.

    Raises:
        CrossDError: for a number of values that fits neither.

    >>> import torch
    >>> Conv2_5d(3, 8, 3, padding=1)(torch.randn(1, 3, 5, 9, 9)).shape
    torch.Size([1, 8, 5, 9, 9])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        *arguments: Any,
        **options: Any,
    ) -> None:
        steps = (stride,) * 3 if isinstance(stride, int) else tuple(stride)
        if len(steps) != 3:
            raise CrossDError(f"`stride` must be one integer or (depth, height, width); got {stride!r}.")
        if padding == "same" and any(step != 1 for step in steps):
            raise CrossDError(f"padding='same' needs stride 1; got stride {steps}. Give the padding as numbers.")
        super().__init__(
            in_channels,
            out_channels,
            (1, *_in_plane("kernel_size", kernel_size)),
            (steps[0], steps[1], steps[2]),
            padding if isinstance(padding, str) else (0, *_in_plane("padding", padding)),
            (1, *_in_plane("dilation", dilation)),
            *arguments,
            **options,
        )


def _in_plane(name: str, value: int | Sequence[int]) -> tuple[int, int]:
    values = (value, value) if isinstance(value, int) else tuple(value)
    if len(values) != 2:
        raise CrossDError(f"`{name}` of Conv2_5d must be one integer or (height, width); got {value!r}.")
    return values[0], values[1]
