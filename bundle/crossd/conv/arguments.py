"""The arguments of a convolution, checked: one value per spatial axis, groups, and padding by name or by mode."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from crossd.errors import CrossDError

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    """Refuse a number of groups that does not divide both numbers of channels."""
    if groups < 1 or in_channels % groups or out_channels % groups:
        raise CrossDError(
            f"`in_channels` (={in_channels}) and `out_channels` (={out_channels}) must be divisible by `groups` "
            f"(={groups}). Choose a common divisor."
        )


def spatial_tuple(name: str, value: int | Sequence[int], spatial_dims: int) -> tuple[int, ...]:
    """One positive integer per spatial axis.

    >>> spatial_tuple("stride", 2, 3)
    (2, 2, 2)
    """
    values = (value,) * spatial_dims if isinstance(value, int) else tuple(int(item) for item in value)
    least = 0 if name == "padding" else 1
    if len(values) != spatial_dims or any(item < least for item in values):
        raise CrossDError(f"`{name}` must be one integer or {spatial_dims} of them, at least {least}; got {value!r}.")
    return values


def split_padding(
    padding: str | int | Sequence[int],
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    padding_mode: str,
) -> tuple[tuple[int, ...], list[int]]:
    """Split padding into what the convolution applies and what must be padded before it.

    Returns:
        Zero padding per axis for the convolution, and the amounts for `pad_before` (last axis first, both sides), empty
        when nothing is. `padding_mode` other than zeros is always padded beforehand, as is `"same"` where the two sides
        differ (even kernels): torch puts the larger half at the end.

    >>> split_padding("same", (3, 3), (1, 1), (2, 2), "zeros")
    ((2, 2), [])
    >>> split_padding("same", (2, 2), (1, 1), (1, 1), "zeros")
    ((0, 0), [0, 1, 0, 1])
    """
    axes = len(kernel_size)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise CrossDError(f"`padding` by name must be 'same' or 'valid'; got {padding!r}. Or give numbers.")
        if padding == "same" and any(step != 1 for step in stride):
            raise CrossDError(f"padding='same' needs stride 1; got stride {stride}. Give the padding as numbers.")
        totals = [gap * (size - 1) if padding == "same" else 0 for size, gap in zip(kernel_size, dilation, strict=True)]
        before = [total // 2 for total in totals]
        after = [total - left for total, left in zip(totals, before, strict=True)]
    else:
        before = after = list(spatial_tuple("padding", padding, axes))
    if padding_mode == "zeros" and before == after:
        return tuple(before), []
    sides = zip(before[::-1], after[::-1], strict=True)
    return (0,) * axes, [side for both in sides for side in both] if any(before + after) else []


def pad_before(x: Tensor, amounts: list[int], padding_mode: str) -> Tensor:
    """Apply the amounts of `split_padding`; scriptable."""
    if len(amounts) == 0:
        return x
    return F.pad(x, amounts, "constant" if padding_mode == "zeros" else padding_mode)
