"""One convolution per sample: a batch in which every sample has its own kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, List  # noqa: UP035

import torch
import torch.nn.functional as F
from torch import Tensor

from crossd.conv.products import plain_cpu

# With fewer input channels than a vector has lanes, oneDNN's grouped convolution takes 2 to 3 times as long as one
# convolution after the other: the first layer of a network.
FEW_CHANNELS = 8

if TYPE_CHECKING:
    IntList = Sequence[int]
else:
    IntList = List[int]  # noqa: UP006  the one spelling torch.jit.script knows; it takes tuples as well


def convolve_per_sample(
    x: Tensor,
    kernels: Tensor,
    stride: IntList,
    padding: IntList,
    dilation: IntList,
    groups: int,
) -> Tensor:
    """Convolve each sample with its own kernel: as one grouped convolution, or in turn where that is faster.

    Args:
        x: `(batch, in, *spatial)`, two or three spatial axes.
        kernels: `(batch, out, in / groups, *kernel_size)`.
        stride, padding, dilation: one value per spatial axis.
        groups: of each sample's convolution.

    Returns:
        `(batch, out, *spatial_out)`.

    >>> import torch
    >>> x, kernels = torch.randn(2, 3, 8, 8), torch.randn(2, 5, 3, 3, 3)
    >>> convolve_per_sample(x, kernels, [1, 1], [1, 1], [1, 1], 1).shape
    torch.Size([2, 5, 8, 8])
    """
    batch, out_channels = kernels.shape[0], kernels.shape[1]
    if not torch.jit.is_scripting():  # noqa: SIM102  the compiler of scripts leaves out just this condition
        if groups == 1 and x.shape[1] < FEW_CHANNELS and plain_cpu(x, kernels):
            return torch.cat([convolve(x[i : i + 1], kernels[i], stride, padding, dilation, 1) for i in range(batch)])
    stacked = x.reshape([1, batch * x.shape[1]] + list(x.shape[2:]))  # noqa: RUF005  scriptable spelling
    flat = kernels.flatten(0, 1)
    if x.dim() == 4:
        y = F.conv2d(stacked, flat, None, stride, padding, dilation, batch * groups)
    else:
        y = F.conv3d(stacked, flat, None, stride, padding, dilation, batch * groups)
    return y.reshape([batch, out_channels] + list(y.shape[2:]))  # noqa: RUF005


def convolve(
    x: Tensor,
    kernel: Tensor,
    stride: IntList,
    padding: IntList,
    dilation: IntList,
    groups: int,
) -> Tensor:
    """Convolve all samples with one kernel `(out, in / groups, *kernel_size)`, two or three spatial axes."""
    if x.dim() == 4:
        return F.conv2d(x, kernel, None, stride, padding, dilation, groups)
    return F.conv3d(x, kernel, None, stride, padding, dilation, groups)


def add_bias(y: Tensor, bias: Tensor) -> Tensor:
    """Add `(channels,)` to `(batch, channels, *spatial)`, in the dtype of `y`."""
    return y + bias.to(y.dtype).reshape([1, -1] + [1] * (y.dim() - 2))
