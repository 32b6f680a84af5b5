"""The predictor at a network's first layer: maps that are larger than the input, made piece by piece and forgotten.

Of an image with three channels the predictor makes sixteen hidden maps and four more. One operation at a time they are
written and read a dozen times, and kept for backward: more than the convolution itself costs. Here a piece of them
exists at a time, in cache, and backward makes it again. What batch norm needs over the batch follows from the mean and
the covariance of the input's few channels, because the layer before it is linear.

With `a = W₁x + b₁` at every position, `z = γ(a − μ)/σ + β`, `h = max(z, 0)` and `m = W₂h + b₂`, the answer is
`Σ m·softmax(m)`, sum and softmax over positions, per sample and output (paper Eq. 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from crossd.conv.products import plain_cpu

PIECE = 8192  # positions: 16 hidden maps of them are half a megabyte in float32, half of a core's cache
MAX_CHANNELS = 8  # with more of them the input itself is what costs, and the maps are small beside it


def pieces_pay(maps: Tensor, weight: Tensor) -> bool:
    """Whether pieces are the faster way for `(batch, channel, positions)`: few channels, many positions."""
    return plain_cpu(maps, weight) and maps.shape[1] <= MAX_CHANNELS and maps.shape[2] > PIECE


def centre_and_spread(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the channels and covariance times count, over batch and positions of `(batch, channel, positions)`.

    >>> centre, spread = centre_and_spread(torch.tensor([[[1.0, 3.0]]]))
    >>> centre.tolist(), spread.tolist()
    ([2.0], [[2.0]])
    """
    centre = x.mean((0, 2))
    spread = x.new_zeros(x.shape[1], x.shape[1])
    for sample in x:
        centred = sample - centre[:, None]
        spread.addmm_(centred, centred.t())
    return centre, spread


class PooledMaps(torch.autograd.Function):
    """`(x, W₁, b₁, γ, β, W₂, b₂, μ, σ²)` → the sums, `(batch, outputs of W₂)`.

    Args of `apply`:
        x: `(batch, in, positions)`.
        first, first_bias, scale, offset, last, last_bias: `W₁, b₁, γ, β, W₂, b₂`.
        mean, variance: of batch norm, without gradient of their own.
        centre, spread: `centre_and_spread(x)` when `mean` and `variance` are those of `x`, whose dependence on `x`,
            `W₁` and `b₁` is then part of the gradient; `None` when they are fixed.
        eps: of batch norm.

    >>> x, w, b = torch.randn(2, 3, 9), torch.randn(16, 3), torch.zeros(16)
    >>> PooledMaps.apply(x, w, b, b + 1, b, torch.randn(4, 16), b[:4], b, b + 1, None, None, 1e-5).shape
    torch.Size([2, 4])
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        first: Tensor,
        first_bias: Tensor,
        scale: Tensor,
        offset: Tensor,
        last: Tensor,
        last_bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        centre: Tensor | None,
        spread: Tensor | None,
        eps: float,
    ) -> Tensor:
        weight, bias = normalised(first, first_bias, scale, offset, mean, variance, eps)
        maps = x.new_empty((len(last), x.shape[2]))  # of one sample
        normaliser, sums = x.new_empty((2, x.shape[0], len(last)))
        for index in range(len(x)):
            for part in _parts(x):
                hidden = torch.addmm(bias, weight, x[index, :, part]).relu_()
                maps[:, part] = torch.addmm(last_bias[:, None], last, hidden)
            normaliser[index] = torch.logsumexp(maps, 1)
            sums[index] = (maps - normaliser[index, :, None]).exp_().mul_(maps).sum(1)
        ctx.save_for_backward(
            x, first, first_bias, scale, offset, last, last_bias, mean, variance, centre, spread, normaliser, sums
        )
        ctx.eps = eps
        return sums

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            return _differentiable(ctx, gradient)
        x, first, first_bias, scale, offset, last, last_bias, mean, variance, centre, spread, *rest = ctx.saved_tensors
        normaliser, sums = rest
        weight, bias = normalised(first, first_bias, scale, offset, mean, variance, ctx.eps)
        inverse = torch.rsqrt(variance + ctx.eps)
        factor = scale * inverse
        count = x.shape[0] * x.shape[2]
        d_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        turned = first.t() * factor  # (in, hidden)
        with_x, total, d_last = torch.zeros_like(first), torch.zeros_like(scale), torch.zeros_like(last)
        for index in range(len(x)):
            for part in _parts(x):
                piece = x[index, :, part]
                hidden = torch.addmm(bias, weight, piece).relu_()
                maps = torch.addmm(last_bias[:, None], last, hidden)
                d_maps = (maps - normaliser[index, :, None]).exp_()
                d_maps.mul_(maps.add_((1 - sums[index])[:, None])).mul_(gradient[index, :, None])
                d_last.addmm_(d_maps, hidden.t())
                d_z = torch.ops.aten.threshold_backward(torch.mm(last.t(), d_maps), hidden, 0)
                with_x.addmm_(d_z, piece.t())  # Σ dz xᵀ
                total += d_z.sum(1)
                if d_x is not None:
                    d_x[index, :, part] = torch.mm(turned, d_z)
        with_a = inverse * ((with_x * first).sum(1) + (first_bias - mean) * total)  # Σ dz â, â = (a − μ)/σ
        d_first, d_first_bias = factor[:, None] * with_x, factor * total
        if centre is not None and spread is not None:  # minus the part through the statistics, affine in x
            slope = factor * with_a / count
            d_first -= torch.outer(d_first_bias, centre) + (slope * inverse)[:, None] * (first @ spread)
            if d_x is not None:
                matrix = first.t() @ ((slope * inverse)[:, None] * first)
                shift = first.t() @ (d_first_bias / count) - matrix @ centre
                d_x.sub_(torch.matmul(matrix, x)).sub_(shift[:, None])
            d_first_bias = torch.zeros_like(first_bias)
        return d_x, d_first, d_first_bias, with_a, total, d_last, gradient.sum(0), *[None] * 5


def normalised(
    first: Tensor, first_bias: Tensor, scale: Tensor, offset: Tensor, mean: Tensor, variance: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """A linear layer with the batch norm behind it, as one: weight `(hidden, in)` and bias `(hidden, 1)`."""
    factor = scale * torch.rsqrt(variance + eps)
    return first * factor[:, None], ((first_bias - mean) * factor + offset)[:, None]


def pooled_maps(
    x: Tensor,
    first: Tensor,
    first_bias: Tensor,
    scale: Tensor,
    offset: Tensor,
    last: Tensor,
    last_bias: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    eps: float,
) -> Tensor:
    """The same, one operation at a time: the reference. Statistics are those of `x` where they are `None`."""
    maps = F.conv1d(x, first.unsqueeze(2), first_bias)
    maps = F.batch_norm(maps, mean, variance, scale, offset, mean is None, 0.0, eps)
    maps = F.conv1d(F.relu(maps), last.unsqueeze(2), last_bias)
    return (maps * torch.softmax(maps, 2)).sum(2)


def _differentiable(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    inputs, (mean, variance, centre) = ctx.saved_tensors[:7], ctx.saved_tensors[7:10]
    needs = ctx.needs_input_grad[:7]
    statistics: list[Any] = [mean, variance] if centre is None else [None, None]
    sums = pooled_maps(*[*inputs, *statistics, ctx.eps])
    wanted = [tensor for tensor, need in zip(inputs, needs, strict=True) if need]
    found = iter(torch.autograd.grad(sums, wanted, gradient, create_graph=True))
    return *(next(found) if need else None for need in needs), *[None] * 5


def _parts(x: Tensor) -> Iterator[slice]:
    for first in range(0, x.shape[2], PIECE):
        yield slice(first, min(first + PIECE, x.shape[2]))
