"""Per-sample convolution in blocks of output channels, so that a batch's kernels never exist all at once.

Where maps are small and channels many (7×7×512), a batch of per-sample kernels is far larger than the activations:
writing and reading it is what costs. Here a block of kernels is made, used as one operand of a matrix product and
overwritten by the next; backward makes the blocks again instead of having stored them. The numbers are those of
`move_kernel` followed by `convolve_per_sample`, up to rounding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Measured on two cores with `python scripts/benchmark_speed.py --section stages`, which says what they give:
BLOCK_CHANNELS = 32  # fewer make slim matrix products, more leave the cache
MIN_KERNEL_BYTES = 16 * 2**20  # smaller batches of kernels cost little to hold at once
MAX_PIXELS = 100  # with more of them the grouped convolution is busy enough to win


def blocks_pay(x: Tensor, weight: Tensor, stride: Sequence[int]) -> bool:
    """Whether blocks are the faster way: plain CPU arithmetic, many kernels, few pixels (bounds measured, see
    `docs/performance.md`). Autocast and `torch.compile` keep the plain path, which they can see through."""
    if x.device.type != "cpu" or x.dtype != weight.dtype or x.dtype not in (torch.float32, torch.float64):
        return False
    if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return False
    out_channels, in_channels, size = weight.shape[:3]
    axes = x.dim() - 2
    kernel_bytes = x.shape[0] * out_channels * in_channels * size**axes * weight.element_size()
    pixels = math.prod(length // step for length, step in zip(x.shape[2:], stride, strict=True))
    return kernel_bytes >= MIN_KERNEL_BYTES and pixels <= MAX_PIXELS


class BlockedConvolution(torch.autograd.Function):
    """`(x, weight, matrix)` → the per-sample convolution; `groups` 1, two or three spatial axes.

    Args of `apply`:
        x: `(batch, in, *spatial)`.
        weight: `U`, `(out, in, K, K, K)`.
        matrix: motion matrices, `(batch, K² or K³, K³)`; see `crossd.motion`.
        stride, padding, dilation: one value per spatial axis.

    Returns:
        `(batch, out, *spatial_out)`.

    >>> from crossd.motion import motion_matrix
    >>> x, weight = torch.randn(2, 4, 7, 7), torch.randn(6, 4, 3, 3, 3)
    >>> matrix = motion_matrix(torch.zeros(2, 3), 3, "shift", "slice")
    >>> BlockedConvolution.apply(x, weight, matrix, (1, 1), (1, 1), (1, 1)).shape
    torch.Size([2, 6, 7, 7])
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        matrix: Tensor,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
    ) -> Tensor:
        matrix = matrix.to(weight.dtype).contiguous()
        ctx.save_for_backward(x, weight, matrix)
        ctx.geometry = (round(matrix.shape[1] ** (1 / (x.dim() - 2))), stride, padding, dilation)
        columns, size = gather(x, *ctx.geometry)
        y = x.new_empty(x.shape[0], weight.shape[0], columns.shape[2])
        for rows, kernels in _kernel_blocks(weight, matrix):
            y[:, rows] = torch.bmm(kernels, columns)
        return y.unflatten(2, size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, matrix = ctx.saved_tensors
        columns, _ = gather(x, *ctx.geometry)
        gradient = gradient.flatten(2)
        batch, positions, _ = matrix.shape
        in_channels = weight.shape[1]
        turned = matrix.reshape(batch * positions, -1).t()  # (K³, batch·positions)
        d_columns = torch.zeros_like(columns) if ctx.needs_input_grad[0] else None
        d_weight = torch.empty_like(weight).flatten(2) if ctx.needs_input_grad[1] else None
        d_matrix = torch.zeros_like(turned) if ctx.needs_input_grad[2] else None
        for rows, kernels in _kernel_blocks(weight, matrix):
            part = gradient[:, rows]  # (batch, block, pixels)
            if d_columns is not None:
                d_columns.baddbmm_(kernels.transpose(1, 2), part)
            if d_weight is None and d_matrix is None:
                continue
            d_kernels = torch.bmm(part, columns.transpose(1, 2))  # (batch, block, positions·in)
            d_kernels = d_kernels.transpose(0, 1).reshape(-1, batch * positions, in_channels)
            if d_weight is not None:
                d_weight[rows] = torch.matmul(turned, d_kernels).transpose(1, 2)
            if d_matrix is not None:
                moved = torch.bmm(weight[rows].flatten(2).transpose(1, 2), d_kernels.transpose(1, 2))
                d_matrix += moved.sum(0)
        return (
            None if d_columns is None else scatter(d_columns, x.shape, *ctx.geometry),
            None if d_weight is None else d_weight.reshape(weight.shape),
            None if d_matrix is None else d_matrix.t().reshape(matrix.shape),
            None,
            None,
            None,
        )


def gather(
    x: Tensor, kernel_size: int, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> tuple[Tensor, list[int]]:
    """What each kernel position sees, `(batch, positions·in, pixels_out)` (position before channel); `spatial_out`."""
    padded = F.pad(x, [side for amount in reversed(padding) for side in (amount, amount)])
    shape = padded.shape[2:]
    size = _output_size(shape, kernel_size, stride, dilation)
    views = [padded[view] for view in _windows(size, kernel_size, stride, dilation)]
    return torch.stack(views, 1).flatten(3).flatten(1, 2), size


def scatter(
    columns: Tensor,
    shape: Sequence[int],
    kernel_size: int,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """The adjoint of `gather`: sum what each kernel position saw back into an input of `shape`."""
    padded_shape = [size + 2 * amount for size, amount in zip(shape[2:], padding, strict=True)]
    size = _output_size(padded_shape, kernel_size, stride, dilation)
    total = columns.new_zeros(shape[0], shape[1], *padded_shape)
    parts = columns.reshape(shape[0], kernel_size ** len(size), shape[1], *size)
    for index, view in enumerate(_windows(size, kernel_size, stride, dilation)):
        total[view] += parts[:, index]
    inside = tuple(slice(amount, amount + size) for size, amount in zip(shape[2:], padding, strict=True))
    return total[(slice(None), slice(None), *inside)]


def _kernel_blocks(weight: Tensor, matrix: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Kernels `(batch, block, positions·in)` of successive output channels; each is overwritten by the next."""
    out_channels, in_channels = weight.shape[:2]
    batch, positions, taps = matrix.shape
    stacked = matrix.reshape(batch * positions, taps)
    block = min(out_channels, BLOCK_CHANNELS)
    buffer = weight.new_empty(block, batch * positions, in_channels)
    for first in range(0, out_channels, block):
        rows = slice(first, min(first + block, out_channels))
        channels = weight[rows].flatten(2)  # (block, in, K³)
        kernels = buffer[: len(channels)]
        torch.bmm(stacked.expand(len(channels), -1, -1), channels.transpose(1, 2), out=kernels)
        yield rows, kernels.reshape(len(channels), batch, positions * in_channels).transpose(0, 1)


def _output_size(padded: Sequence[int], kernel_size: int, stride: Sequence[int], dilation: Sequence[int]) -> list[int]:
    axes = zip(padded, stride, dilation, strict=True)
    return [(length - gap * (kernel_size - 1) - 1) // step + 1 for length, step, gap in axes]


def _windows(
    size: Sequence[int], kernel_size: int, stride: Sequence[int], dilation: Sequence[int]
) -> Iterator[tuple[slice, ...]]:
    """For each kernel position, the strided view of the padded input that it is multiplied with."""
    for offset in itertools.product(range(kernel_size), repeat=len(size)):
        axes = zip(offset, size, stride, dilation, strict=True)
        view = (slice(at * gap, at * gap + step * (count - 1) + 1, step) for at, count, step, gap in axes)
        yield (slice(None), slice(None), *view)
