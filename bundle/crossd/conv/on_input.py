"""Per-sample convolution with the motion on the input's side: kernels stay the shared `U`, none is made per sample.

`Σ (M U)·x = Σ U·(Mᵀ x)`: what the kernel positions see is moved instead of the kernels, and one matrix product with
`U` serves the whole batch. In volumes that is the work of a plain convolution; of images it needs `K` times as many
products (`U` has `K` slices), which still beats kernels per sample where those are many and pixels few. It takes any
motion matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from crossd.conv.per_sample import convolve_per_sample
from crossd.conv.products import times_transposed
from crossd.conv.windows import gather, mix_positions, scatter
from crossd.motion import move_kernel

WINDOW_BYTES = 2**24  # of what the kernel positions see: more samples at once make larger products and need more memory
BLOCK_BYTES = 2**22  # of `U` in the order of the windows


class MotionOnInput(torch.autograd.Function):
    """`(x, weight, matrix)` → the per-sample convolution; `groups` 1, two or three spatial axes.

    Args of `apply`:
        x: `(batch, in, *spatial)`.
        weight: `U`, `(out, in, K, K, K)`.
        matrix: motion matrices, `(batch, K² or K³, K³)`; see `crossd.motion`.
        stride, padding, dilation: one value per spatial axis.

    Returns:
        `(batch, out, *spatial_out)`.

    >>> from crossd.motion import motion_matrix
    >>> x, weight = torch.randn(2, 4, 5, 5, 5), torch.randn(6, 4, 3, 3, 3)
    >>> matrix = motion_matrix(torch.zeros(2, 3), 3, "rotate", "volume")
    >>> MotionOnInput.apply(x, weight, matrix, (1, 1, 1), (1, 1, 1), (1, 1, 1)).shape
    torch.Size([2, 6, 5, 5, 5])
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
        matrix = matrix.to(weight.dtype)
        ctx.save_for_backward(x, weight, matrix)
        ctx.geometry = (weight.shape[2], stride, padding, dilation)
        y: Tensor | None = None
        size: list[int] = []
        for samples, windows, size in _groups(x, weight, ctx.geometry):  # noqa: B007
            columns = mix_positions(matrix[samples].transpose(1, 2), windows)
            if y is None:
                y = x.new_empty(len(x), len(weight), windows.shape[1])
            for rows, block in _blocks(weight):
                part = times_transposed(columns.flatten(0, 1), block)  # (samples·pixels, block)
                y[samples, rows] = part.unflatten(0, windows.shape[:2]).transpose(1, 2)
        assert y is not None  # there is at least one sample
        return y.unflatten(2, size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, matrix = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            return _differentiable(ctx, gradient)
        needs_x, needs_weight, needs_motion = ctx.needs_input_grad[:3]
        gradient = gradient.flatten(2)
        d_x = torch.empty_like(x, memory_format=torch.contiguous_format) if needs_x else None
        d_weight = torch.zeros_like(weight, memory_format=torch.contiguous_format) if needs_weight else None
        d_matrix = torch.empty_like(matrix) if needs_motion else None
        for samples, windows, _ in _groups(x, weight, ctx.geometry):
            columns = mix_positions(matrix[samples].transpose(1, 2), windows).flatten(0, 1)
            d_columns = torch.zeros_like(columns)
            for rows, block in _blocks(weight):
                part = gradient[samples, rows].transpose(0, 1).flatten(1)  # (block, samples·pixels)
                if needs_x or needs_motion:
                    d_columns += times_transposed(part.t(), block.t())
                if d_weight is not None:
                    d_block = times_transposed(part, columns.t())
                    d_weight[rows].flatten(2).add_(d_block.unflatten(1, (-1, x.shape[1])).transpose(1, 2))
            d_moved = d_columns.unflatten(0, windows.shape[:2]).unflatten(2, (-1, x.shape[1]))
            if d_matrix is not None:
                products = torch.bmm(windows.flatten(0, 1), d_moved.flatten(0, 1).transpose(1, 2))
                d_matrix[samples] = products.unflatten(0, windows.shape[:2]).sum(1)
            if d_x is not None:
                d_windows = mix_positions(matrix[samples], d_moved).unflatten(2, windows.shape[2:])
                d_x[samples] = scatter(d_windows, x[samples].shape, *ctx.geometry)
        return d_x, d_weight, d_matrix, None, None, None


def _differentiable(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, matrix = ctx.saved_tensors
    size, stride, padding, dilation = ctx.geometry
    kernels = move_kernel(weight, matrix).unflatten(3, [size] * (x.dim() - 2))
    y = convolve_per_sample(x, kernels, stride, padding, dilation, 1)
    wanted = [tensor for tensor, need in zip(ctx.saved_tensors, ctx.needs_input_grad, strict=False) if need]
    found = iter(torch.autograd.grad(y, wanted, gradient, create_graph=True))
    return *(next(found) if need else None for need in ctx.needs_input_grad[:3]), None, None, None


def _groups(x: Tensor, weight: Tensor, geometry: Any) -> Iterator[tuple[slice, Tensor, list[int]]]:
    """Windows of as many samples as `WINDOW_BYTES` holds, once moved."""
    pixels_at_most = x[0, 0].numel()
    values = pixels_at_most * x.shape[1] * weight[0, 0].numel()
    count = max(WINDOW_BYTES // (values * x.element_size()), 1)
    for first in range(0, len(x), count):
        samples = slice(first, min(first + count, len(x)))
        windows, size = gather(x[samples], *geometry)
        yield samples, windows, size


def _blocks(weight: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """`U` of successive output channels, `(block, K³·in)`, position before channel; each overwrites the last."""
    out_channels, in_channels = weight.shape[:2]
    values = weight[0].numel()
    block = min(out_channels, max(BLOCK_BYTES // (values * weight.element_size()), 1))
    buffer = weight.new_empty(block, values)
    for first in range(0, out_channels, block):
        rows = slice(first, min(first + block, out_channels))
        turned = buffer[: rows.stop - first]
        turned.unflatten(1, (-1, in_channels)).copy_(weight[rows].flatten(2).transpose(1, 2))
        yield rows, turned
