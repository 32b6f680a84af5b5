"""Tomographic inflation: the 3D kernel whose three projections are the 2D kernel, as nearly as there is one.

A network trained on images sees projections of volumes along any axis by the same kernel `k`, if those of `U` are `k`:
along depth `(height, width)`, along height `(depth, width)` and along width `(depth, height)`, rows first, as of axial,
coronal and sagittal images. All three exist where each row of `k` sums to what the column of its number does. For any
other `k` the first is kept exactly, and the third differs by the difference of these sums, spread over depth.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def tomographic_kernel(kernel: Tensor) -> Tensor:
    r"""Inflate a square 2D kernel so that its depth projection stays what it is.

    $U = \arg\min \|\Sigma_h U - k\|^2 + \|\Sigma_w U - k\|^2$ subject to $\Sigma_d U = k$, and of these the one of
    least norm: constrained linear least squares, whose solution is linear in `k`.

    Args:
        kernel: `(out, in, K, K)`, rows first.

    Returns:
        `(out, in, K, K, K)`, axes (depth, height, width), of the same dtype.

    >>> kernel = torch.randn(4, 2, 3, 3, dtype=torch.float64)
    >>> torch.allclose(tomographic_kernel(kernel).sum(2), kernel)
    True
    """
    size = kernel.shape[-1]
    solution = _solution(size).to(kernel.device)
    return (kernel.double().flatten(2) @ solution.t()).unflatten(2, [size] * 3).to(kernel.dtype)


def projection_residual(volume: Tensor) -> float:
    """How far the projections along height and width are from the one along depth, relative to the norm of that.

    >>> projection_residual(torch.ones(1, 1, 3, 3, 3))
    0.0
    """
    seen = volume.double().sum(2)
    off = (volume.double().sum(3) - seen).square().sum() + (volume.double().sum(4) - seen).square().sum()
    return float((off / (2 * seen.square().sum()).clamp(min=1e-30)).sqrt())


@lru_cache
def _solution(size: int) -> Tensor:
    """`(K³, K²)` in float64: from the entries of `k` to those of `U`."""
    identity = torch.eye(size**3, dtype=torch.float64).unflatten(1, [size] * 3)
    along_depth, along_height, along_width = (identity.sum(axis).flatten(1).t() for axis in (1, 2, 3))
    others = torch.cat([along_height, along_width])
    wanted = torch.eye(size**2, dtype=torch.float64)
    spread = along_depth.t() / size  # the least solution of the constraint alone
    free = torch.eye(size**3, dtype=torch.float64) - spread @ along_depth  # what leaves the depth projection as it is
    left = torch.cat([wanted, wanted]) - others @ spread
    return spread + torch.linalg.pinv(others @ free, rtol=1e-9) @ left
