"""One convolution per sample: a batch in which every sample has its own motion of the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, List  # noqa: UP035

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    IntList = Sequence[int]
else:
    IntList = List[int]  # noqa: UP006  the one spelling torch.jit.script knows; it takes tuples as well


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


def convolve_per_sample(
    x: Tensor,
    kernels: Tensor,
    stride: IntList,
    padding: IntList,
    dilation: IntList,
    groups: int,
) -> Tensor:
    """Convolve each sample with its own of the kernels `(batch, out, in / groups, *kernel_size)`, all at once.

    >>> import torch
    >>> x, kernels = torch.randn(2, 3, 8, 8), torch.randn(2, 5, 3, 3, 3)
    >>> convolve_per_sample(x, kernels, [1, 1], [1, 1], [1, 1], 1).shape
    torch.Size([2, 5, 8, 8])
    """
    batch = x.shape[0]
    stacked = x.reshape([1, batch * x.shape[1]] + list(x.shape[2:]))  # noqa: RUF005  scriptable spelling
    y = convolve(stacked, kernels.flatten(0, 1), stride, padding, dilation, batch * groups)
    return y.reshape([batch, kernels.shape[1]] + list(y.shape[2:]))  # noqa: RUF005


def convolve_moved_input(
    x: Tensor,
    weight: Tensor,
    matrix: Tensor,
    stride: IntList,
    padding: IntList,
    dilation: IntList,
) -> Tensor:
    """The same from the shared `U` and the motions: what the kernel sees is moved, and no kernel is made per sample.

    `Σ (M U)·x = Σ U·(Mᵀ x)`. It reads `U` once for the batch, where a batch of kernels would be written and read; in
    images it needs `K` times as many products. So it pays where maps have few pixels (`docs/performance.md`). `matrix`
    holds motion matrices, `(batch, K² or K³, K³)`; see `crossd.motion`.

    >>> from crossd.motion import motion_matrix
    >>> x, weight = torch.randn(2, 4, 5, 5, 5), torch.randn(6, 4, 3, 3, 3)
    >>> matrix = motion_matrix(torch.zeros(2, 3), 3, "rotate", "volume")
    >>> convolve_moved_input(x, weight, matrix, [1, 1, 1], [1, 1, 1], [1, 1, 1]).shape
    torch.Size([2, 6, 5, 5, 5])
    """
    batch, size, count = x.shape[0], weight.shape[2], matrix.shape[2]
    taps = matrix.to(weight.dtype).transpose(1, 2).reshape([batch * count, 1] + [size] * (x.dim() - 2))
    moved = convolve(x.transpose(0, 1), taps, stride, padding, dilation, batch)  # (in, batch·K³, *spatial_out)
    columns = moved.reshape([x.shape[1], batch, count, -1]).transpose(1, 2).flatten(0, 1).flatten(1)
    y = torch.matmul(weight.flatten(1), columns)  # (out, in·K³) times (in·K³, batch·pixels)
    return y.reshape([weight.shape[0], batch] + list(moved.shape[2:])).transpose(0, 1)  # noqa: RUF005


def pixels_out(x: Tensor, kernel_size: int, stride: IntList, padding: IntList, dilation: IntList) -> int:
    """Positions of the result, of one sample.

    >>> pixels_out(torch.zeros(2, 3, 8, 8), 3, [2, 2], [1, 1], [1, 1])
    16
    """
    count = 1
    for axis in range(x.dim() - 2):
        spread = dilation[axis] * (kernel_size - 1)
        count *= (x.shape[axis + 2] + 2 * padding[axis] - spread - 1) // stride[axis] + 1
    return count


def add_bias(y: Tensor, bias: Tensor) -> Tensor:
    """Add `(channels,)` to `(batch, channels, *spatial)`, in the dtype of `y`."""
    return y + bias.to(y.dtype).reshape([1, -1] + [1] * (y.dim() - 2))
