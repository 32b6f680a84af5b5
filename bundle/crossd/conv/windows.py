"""What each kernel position sees of an input, and the way back; channels last, as matrix products want it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from crossd.conv.products import plain_cpu
from crossd.conv.scratch import scratch

# Measured on two cores with `python scripts/benchmark_speed.py --section ways` and `--section volumes`:
MIN_CHANNELS = 192  # with fewer channels the kernels are few,
MAX_PIXELS = 256  # and with more pixels in the output a convolution is busy enough to win. Between 100 and 256 pixels
# of an image kernels are faster alone and about as fast within a network, but are 19 MB, and their gradients as much.


def windows_pay(x: Tensor, weight: Tensor, stride: Sequence[int]) -> bool:
    """Whether products with windows beat per-sample kernels: plain CPU arithmetic, many kernels, few pixels out."""
    if not plain_cpu(x, weight) or min(weight.shape[:2]) < MIN_CHANNELS:
        return False
    return math.prod(length // step for length, step in zip(x.shape[2:], stride, strict=True)) <= MAX_PIXELS


def gather(
    x: Tensor,
    kernel_size: int,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    kept: str | None = None,
) -> tuple[Tensor, list[int]]:
    """What each kernel position sees.

    Args:
        x: `(batch, in, *spatial)`, two or three spatial axes.
        kernel_size, stride, padding, dilation: of a convolution.
        kept: name of the `scratch` that the result may lie in; None: memory of its own.

    Returns:
        `(batch, pixels_out, K² or K³, in)`, and `spatial_out`.

    >>> import torch
    >>> windows, size = gather(torch.randn(2, 3, 7, 8), 3, (1, 1), (1, 1), (1, 1))
    >>> windows.shape, size
    (torch.Size([2, 56, 9, 3]), [7, 8])
    """
    margins = [side for amount in reversed(padding) for side in (amount, amount)]
    padded = F.pad(x.movedim(1, -1), [0, 0, *margins])
    size = _output_size(padded.shape[1:-1], kernel_size, stride, dilation)
    shape = (x.shape[0], *size, kernel_size ** len(size), x.shape[1])
    windows = x.new_empty(shape) if kept is None else scratch(kept, shape, x)
    for position, view in enumerate(_views(size, kernel_size, stride, dilation)):
        windows[..., position, :] = padded[view]
    return windows.flatten(1, len(size)), size


def scatter(
    windows: Tensor,
    shape: Sequence[int],
    kernel_size: int,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """The adjoint of `gather`: sum what each kernel position saw back into an input of `shape`."""
    padded = [length + 2 * amount for length, amount in zip(shape[2:], padding, strict=True)]
    size = _output_size(padded, kernel_size, stride, dilation)
    total = windows.new_zeros(shape[0], *padded, shape[1])
    parts = windows.reshape(shape[0], *size, -1, shape[1])
    for position, view in enumerate(_views(size, kernel_size, stride, dilation)):
        total[view] += parts[..., position, :]
    inside = (slice(amount, amount + length) for length, amount in zip(shape[2:], padding, strict=True))
    return total[(slice(None), *inside)].movedim(-1, 1).contiguous()


def mix_positions(matrices: Tensor, windows: Tensor, kept: str | None = None) -> Tensor:
    """Apply a sample's matrix, `(batch, to, from)`, to the positions of its windows `(batch, pixels, from, in)`.

    Returns:
        `(batch, pixels, to·in)`, in the `scratch` named `kept` if there is a name.
    """
    batch, pixels = windows.shape[:2]
    each = matrices[:, None].expand(-1, pixels, -1, -1).flatten(0, 1)
    to = None if kept is None else scratch(kept, (batch * pixels, matrices.shape[1], windows.shape[3]), windows)
    return torch.bmm(each, windows.flatten(0, 1), out=to).reshape(batch, pixels, -1)


def _output_size(padded: Sequence[int], kernel_size: int, stride: Sequence[int], dilation: Sequence[int]) -> list[int]:
    axes = zip(padded, stride, dilation, strict=True)
    return [(length - gap * (kernel_size - 1) - 1) // step + 1 for length, step, gap in axes]


def _views(
    size: Sequence[int], kernel_size: int, stride: Sequence[int], dilation: Sequence[int]
) -> Iterator[tuple[slice, ...]]:
    """For each kernel position, the strided view of the padded input that it is multiplied with."""
    for offset in itertools.product(range(kernel_size), repeat=len(size)):
        axes = zip(offset, size, stride, dilation, strict=True)
        yield (
            slice(None),
            *(slice(at * gap, at * gap + step * (count - 1) + 1, step) for at, count, step, gap in axes),
        )
