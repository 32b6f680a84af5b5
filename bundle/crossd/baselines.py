"""What Cross-D convolution is compared with: 2.5D and ACS convolution, which take 2D weights too."""

# No `from __future__ import annotations`: torch.jit.script needs real annotations of attributes.
import math
from collections.abc import Sequence
from typing import Any, List  # noqa: UP035  torch.jit.script resolves these spellings on every supported Python

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossd.conv.arguments import PADDING_MODES, check_groups, pad_before, spatial_tuple, split_padding
from crossd.errors import CrossDError, one_of


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


def acs_split(out_channels: int) -> tuple[int, int, int]:
    """Output channels of the axial, coronal and sagittal view; the remainder goes to the first ones.

    >>> acs_split(64), acs_split(512), acs_split(1)
    ((22, 21, 21), (171, 171, 170), (1, 0, 0))
    """
    share, rest = divmod(out_channels, 3)
    return share + (rest > 0), share + (rest > 1), share


class ACSConv(nn.Module):
    """ACS convolution (Yang et al., "Reinventing 2D Convolutions for 3D Images", arXiv 1911.10477).

    The weight is that of a 2D convolution, `(out_channels, in_channels / groups, K, K)`, so 2D state dicts load
    unchanged. The first third of its output channels is convolved as `1×K×K`, the second as `K×1×K`, the last as
    `K×K×1`. The result is exactly that of one `Conv3d` with `kernel()`, a `K×K×K` kernel that is zero outside the
    middle plane of each view, for every stride, padding, dilation, padding mode and number of groups.

    Args:
        in_channels, out_channels, groups, bias, padding_mode, device, dtype: as in `torch.nn.Conv3d`.
        kernel_size: `K`, one number or equal numbers.
        stride, padding, dilation: as in `torch.nn.Conv3d`; `padding` may be `"same"` or `"valid"`.

    Shapes: `(batch, in_channels, depth, height, width)` → `(batch, out_channels, depth_out, height_out, width_out)`.

    Raises:
        CrossDError: an argument that cannot be honoured, or an input of the wrong number of axes.

    >>> ACSConv(3, 8, 3, padding=1)(torch.randn(1, 3, 5, 9, 9)).shape
    torch.Size([1, 8, 5, 9, 9])
    """

    _pads_before: list[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_groups(in_channels, out_channels, groups)
        sizes = (kernel_size,) if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(set(sizes)) != 1:
            raise CrossDError(
                f"`kernel_size` of ACSConv must be the same along every axis, because its kernel lies in three planes; "
                f"got {sizes}. Use one number, or Conv2_5d."
            )
        one_of("padding_mode", padding_mode, PADDING_MODES)
        size = sizes[0]
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = spatial_tuple("kernel_size", size, 3)
        self.stride = spatial_tuple("stride", stride, 3)
        self.dilation = spatial_tuple("dilation", dilation, 3)
        self.groups = groups
        self.padding_mode = padding_mode
        # what the convolution applies, and what is padded before it (modes and uneven "same")
        self.padding, self._pads_before = split_padding(
            padding, self.kernel_size, self.stride, self.dilation, padding_mode
        )
        self._views = _views(in_channels, out_channels, groups)
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels // groups, size, size, device=device, dtype=dtype)
        )
        self.bias = nn.Parameter(torch.empty(out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as `torch.nn.Conv2d` does: uniform in ±1/√fan_in."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def kernel(self) -> Tensor:
        """The kernel of the one `Conv3d` that gives the same result, `(out_channels, in_channels / groups, K, K, K)`.

        >>> ACSConv(1, 3, 3).kernel().ne(0).sum((1, 2, 3, 4))
        tensor([9, 9, 9])
        """
        size = self.weight.shape[2]
        middle = size // 2
        axial, coronal, sagittal = self.weight.split(acs_split(self.out_channels))
        before, after = middle, size - 1 - middle
        return torch.cat(
            [
                F.pad(axial.unsqueeze(2), [0, 0, 0, 0, before, after]),
                F.pad(coronal.unsqueeze(3), [0, 0, before, after, 0, 0]),
                F.pad(sagittal.unsqueeze(4), [before, after, 0, 0, 0, 0]),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, in_channels, depth, height, width)` → `(batch, out_channels, …)`, sizes as in `torch.nn.Conv3d`."""
        if x.dim() != 5:
            raise CrossDError(
                f"ACSConv expects (batch, channel, depth, height, width); got {x.dim()} axes with shape "
                f"{list(x.shape)}. Add a batch axis with x.unsqueeze(0)."
            )
        x = pad_before(x, self._pads_before, self.padding_mode)
        bias = self.bias
        views: List[Tensor] = []  # noqa: UP006
        for axis, start, stop, first, last, groups in self._views:
            # along the axis across the plane only the middle tap counts: the padding it never reaches is left out
            middle = self.weight.shape[2] // 2
            before = self.padding[axis] - self.dilation[axis] * middle
            after = self.padding[axis] - self.dilation[axis] * (self.weight.shape[2] - 1 - middle)
            amounts = [0, 0, 0, 0, 0, 0]
            amounts[4 - 2 * axis] = before
            amounts[5 - 2 * axis] = after
            padding = list(self.padding)
            padding[axis] = 0
            seen = x[:, first:last]
            views.append(
                F.conv3d(
                    F.pad(seen, amounts) if before != 0 or after != 0 else seen,
                    self.weight[start:stop].unsqueeze(2 + axis),
                    bias[start:stop] if bias is not None else None,
                    self.stride,
                    padding,
                    self.dilation,
                    groups,
                )
            )
        return torch.cat(views, 1)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}, dilation={self.dilation}, groups={self.groups}"
        return f"{text}, bias={self.bias is not None}"


def _views(in_channels: int, out_channels: int, groups: int) -> list[tuple[int, int, int, int, int, int]]:
    """Convolutions to run: `(axis, first output, end output, first input, end input, groups)` each.

    Thirds and groups need not end at the same channel: a third is cut into the part of a group it begins in, a run of
    whole groups, and the part of a group it ends in.

    >>> _views(4, 6, 1)
    [(0, 0, 2, 0, 4, 1), (1, 2, 4, 0, 4, 1), (2, 4, 6, 0, 4, 1)]
    >>> _views(2, 4, 2)
    [(0, 0, 2, 0, 1, 1), (1, 2, 3, 1, 2, 1), (2, 3, 4, 1, 2, 1)]
    """
    group_out, group_in = out_channels // groups, in_channels // groups
    views = []
    end = 0
    for axis, share in enumerate(acs_split(out_channels)):
        start, end = end, end + share
        while start < end:
            whole = (end - start) // group_out if start % group_out == 0 else 0
            stop = start + whole * group_out if whole else min(end, (start // group_out + 1) * group_out)
            first = start // group_out * group_in
            views.append((axis, start, stop, first, first + max(whole, 1) * group_in, max(whole, 1)))
            start = stop
    return views
