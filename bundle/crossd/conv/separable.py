"""Per-sample convolution of images by shifted kernels where maps are small and channels many (7×7×512).

There a batch of per-sample kernels is far larger than the activations, and making, writing and reading it is what
costs. The matrix of a shift is a Kronecker product: weights of the depth slices times a matrix in the plane. So the
part in the plane, `K² × K²`, is moved from the kernels to what they are multiplied with, where there is little to move,
and the kernels are left with a weighted sum of `K` slices: `K` products a tap instead of `K³`. They exist for a block
of output channels and a few samples at a time; backward makes them again. The numbers are those of `move_kernel`
followed by `convolve_per_sample`, up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from crossd.conv.per_sample import convolve_per_sample
from crossd.conv.products import times_transposed
from crossd.conv.scratch import scratch
from crossd.conv.windows import gather, mix_positions, scatter
from crossd.motion import move_kernel

# Measured on two cores with `python scripts/benchmark_speed.py --section stages`:
BLOCK_BYTES = 2**21  # of one sample's kernels: smaller blocks make slim products, larger ones leave the cache
BATCH = 4  # samples whose kernels exist at once


class SeparableConvolution(torch.autograd.Function):
    """`(x, weight, depth, plane)` → the per-sample convolution of images; `groups` 1.

    Args of `apply`:
        x: `(batch, in, height, width)`.
        weight: `U`, `(out, in, K, K, K)`.
        depth, plane: `(batch, K)` and `(batch, K², K²)`; see `crossd.motion.shift_factors`.
        stride, padding, dilation: one value per spatial axis.

    Returns:
        `(batch, out, height_out, width_out)`.

    >>> from crossd.motion import shift_factors
    >>> x, weight = torch.randn(2, 4, 7, 7), torch.randn(6, 4, 3, 3, 3)
    >>> factors = shift_factors(torch.ones(2, 3), 3, "slice")
    >>> SeparableConvolution.apply(x, weight, *factors, (1, 1), (1, 1), (1, 1)).shape
    torch.Size([2, 6, 7, 7])
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        depth: Tensor,
        plane: Tensor,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
    ) -> Tensor:
        depth, plane = depth.to(weight.dtype), plane.to(weight.dtype)
        ctx.save_for_backward(x, weight, depth, plane)
        ctx.geometry = (weight.shape[2], stride, padding, dilation)
        windows, size = _windows(x, ctx.geometry)
        columns = mix_positions(plane.transpose(1, 2), windows, kept="columns")
        y = x.new_empty(x.shape[0], weight.shape[0], columns.shape[1])
        for rows, slices in slice_blocks(weight):
            for first in range(0, len(x), BATCH):
                kernels = _kernels(depth[first : first + BATCH], slices)
                for sample, kernel in enumerate(kernels, first):
                    y[sample, rows] = times_transposed(kernel.unflatten(0, (-1, columns.shape[2])), columns[sample])
        return y.unflatten(2, size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            return _differentiable(ctx, gradient)
        x, weight, depth, plane = ctx.saved_tensors
        needs_x, needs_weight, needs_motion = ctx.needs_input_grad[:3]
        windows, _ = _windows(x, ctx.geometry)
        columns = mix_positions(plane.transpose(1, 2), windows, kept="columns")
        gradient = gradient.flatten(2)
        turned = gradient.transpose(1, 2).contiguous()  # (batch, pixels, out)
        d_columns = scratch("column gradients", columns.shape, columns).zero_()
        d_depth = torch.zeros_like(depth)
        d_weight = torch.empty_like(weight) if needs_weight else None
        for rows, slices in slice_blocks(weight):
            d_slices = scratch("slice gradients", slices.shape, slices).zero_()
            for first in range(0, len(x), BATCH):
                group = slice(first, min(first + BATCH, len(x)))
                kernels = _kernels(depth[group], slices)
                wanted = needs_weight or needs_motion
                d_kernels = scratch("kernel gradients", kernels.shape, kernels) if wanted else None
                for index, sample in enumerate(range(group.start, group.stop)):
                    kernel = kernels[index].unflatten(0, (-1, columns.shape[2]))
                    d_columns[sample] += times_transposed(turned[sample, :, rows], kernel.t())
                    if d_kernels is not None:
                        d_kernel = times_transposed(gradient[sample, rows], columns[sample].t())
                        d_kernels[index] = d_kernel.flatten()
                if d_kernels is not None:
                    d_slices.addmm_(depth[group].t(), d_kernels)
                    d_depth[group] += torch.mm(d_kernels, slices.t())
            if d_weight is not None:
                d_weight[rows] = _as_weight(d_slices, d_weight[rows])
        d_columns = d_columns.unflatten(2, windows.shape[2:])
        d_plane = d_x = None
        if needs_motion:
            d_plane = torch.bmm(windows.flatten(0, 1), d_columns.flatten(0, 1).transpose(1, 2))
            d_plane = d_plane.unflatten(0, windows.shape[:2]).sum(1)
        if needs_x:
            d_windows = mix_positions(plane, d_columns).unflatten(2, windows.shape[2:])
            d_x = scatter(d_windows, x.shape, *ctx.geometry)
        return d_x, d_weight, d_depth if needs_motion else None, d_plane, None, None, None


def _differentiable(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, depth, plane = ctx.saved_tensors
    size, stride, padding, dilation = ctx.geometry
    matrix = (plane[:, :, None] * depth[:, None, :, None]).flatten(2)
    kernels = move_kernel(weight, matrix).unflatten(3, [size, size])
    y = convolve_per_sample(x, kernels, stride, padding, dilation, 1)
    wanted = [tensor for tensor, need in zip(ctx.saved_tensors, ctx.needs_input_grad, strict=False) if need]
    found = iter(torch.autograd.grad(y, wanted, gradient, create_graph=True))
    return *(next(found) if need else None for need in ctx.needs_input_grad[:4]), None, None, None


def _windows(x: Tensor, geometry: Any) -> tuple[Tensor, list[int]]:
    size, stride, padding, dilation = geometry
    return gather(x, size, stride, padding, dilation, kept="windows")


def _kernels(depth: Tensor, slices: Tensor) -> Tensor:
    return torch.mm(depth, slices, out=scratch("kernels", (len(depth), slices.shape[1]), slices))


def slice_blocks(weight: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Depth slices `(K, block·K²·in)` of successive output channels, position before channel, in one buffer."""
    out_channels, in_channels, size = weight.shape[:3]
    values = BLOCK_BYTES // weight.element_size()
    block = min(out_channels, max(values // (size * size * in_channels), 1))
    buffer = scratch("slices", (size * block * size * size * in_channels,), weight)
    for first in range(0, out_channels, block):
        rows = slice(first, min(first + block, out_channels))
        count = rows.stop - first
        slices = buffer[: buffer.numel() // block * count].view(size, count, size * size, in_channels)
        slices.copy_(weight[rows].flatten(3).permute(2, 0, 3, 1))
        yield rows, slices.view(size, -1)


def _as_weight(slices: Tensor, like: Tensor) -> Tensor:
    """The inverse of the order that `slice_blocks` brings a weight into."""
    block, in_channels, size = like.shape[:3]
    return slices.view(size, block, size, size, in_channels).permute(1, 4, 0, 2, 3)
