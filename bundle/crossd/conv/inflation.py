"""From a plain kernel to a 3D one: inflated, or the stored `U` that gives it back when nothing moves (θ = 0)."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from crossd.errors import CrossDError, one_of

FILLS = ("centre", "mean", "tomographic")


def embed_kernel(kernel: Tensor, *, alignment: str = "dynamic", motion: str = "shift", fill: str = "centre") -> Tensor:
    """Build `U` from a plain 2D or 3D kernel.

    At θ = 0 the published shift is a roll by `(1, 1, 1)`, so for every alignment but `"raw"` the kernel is stored
    rolled back by one voxel; a rotation by zero moves nothing.

    Args:
        kernel: `(out, in, K, K)` or `(out, in, K, K, K)`.
        alignment: of the layer that receives `U`.
        motion: of the layer that receives `U`.
        fill: where a 2D kernel goes: `"centre"`, into the middle depth slice with zeros elsewhere (both views give the
            kernel back); `"mean"`, divided by `K` into every slice (I3D inflation: `view="projection"` gives it back);
            `"tomographic"`, so that projections along all axes are the kernel, as nearly as they can be
            (`view="projection"` gives it back exactly; see `tomographic_kernel`).

    Returns:
        `(out, in, K, K, K)`, a new tensor.

    Raises:
        CrossDError: for a kernel that is not square or cubic, or an unknown `fill`.

    >>> u = embed_kernel(torch.ones(1, 1, 3, 3), alignment="raw")
    >>> u[0, 0].sum((1, 2))
    tensor([0., 9., 0.])
    """
    one_of("fill", fill, FILLS)
    spatial = tuple(kernel.shape[2:])
    if len(spatial) not in (2, 3) or len(set(spatial)) != 1:
        raise CrossDError(
            f"A kernel must be square (out, in, K, K) or cubic (out, in, K, K, K); got shape {tuple(kernel.shape)}. "
            "Pad it with zeros to equal sizes first."
        )
    volume = kernel.clone() if len(spatial) == 3 else inflate_kernel(kernel, fill)
    if motion == "shift" and alignment != "raw":
        volume = torch.roll(volume, (-1, -1, -1), (2, 3, 4))
    return volume


def inflate_kernel(kernel: Tensor, mode: str = "mean", depth: int | None = None) -> Tensor:
    """Inflate a 2D kernel along depth (Carreira and Zisserman, "Quo Vadis", arXiv 1705.07750, section 2.3).

    Args:
        kernel: `(out, in, height, width)`.
        mode: `"mean"`, the kernel divided by `depth` in every slice, which gives the 2D answer on a volume constant
            along depth; `"centre"`, the kernel in the middle slice (index `depth // 2`) and zeros elsewhere, which
            gives the 2D answer on every slice; `"tomographic"`, square and as deep as high, see
            `tomographic_kernel`.
        depth: slices of the result; the size of a square kernel when left out.

    Returns:
        `(out, in, depth, height, width)`, a new tensor.

    Raises:
        CrossDError: for a tensor that is not a 2D kernel, one that is not square while `depth` is left out, or an
            unknown `mode`.

    >>> inflate_kernel(torch.full((1, 1, 4, 4), 4.0))[0, 0].sum((1, 2))
    tensor([16., 16., 16., 16.])
    >>> inflate_kernel(torch.ones(1, 1, 3, 3), "centre")[0, 0].sum((1, 2))
    tensor([0., 9., 0.])
    """
    one_of("mode", mode, FILLS)
    if kernel.dim() != 4:
        raise CrossDError(
            f"Inflation takes a 2D kernel (out, in, height, width); got shape {tuple(kernel.shape)}. "
            "Pass the weight of a Conv2d."
        )
    height, width = kernel.shape[2:]
    if depth is None:
        if height != width:
            raise CrossDError(
                f"A kernel that is not square does not say how deep it becomes; got {height}x{width}. Pass `depth`."
            )
        depth = height
    if mode == "tomographic":
        if not depth == height == width:
            raise CrossDError(
                f"A tomographic kernel is a cube; got {height}x{width} to be {depth} deep. Choose mode='mean'."
            )
        return tomographic_kernel(kernel)
    if mode == "mean":
        return (kernel / depth).unsqueeze(2).repeat(1, 1, depth, 1, 1)
    inflated = kernel.new_zeros(*kernel.shape[:2], depth, height, width)
    inflated[:, :, depth // 2] = kernel
    return inflated


def tomographic_kernel(kernel: Tensor) -> Tensor:
    r"""The 3D kernel whose three projections are the 2D kernel, as nearly as there is one; along depth exactly.

    A network trained on images sees projections of volumes along any axis by the same kernel `k`, if those of `U` are
    `k`: along depth `(height, width)`, along height `(depth, width)` and along width `(depth, height)`. All three exist
    where each row of `k` sums to what the column of its number does; otherwise the third differs by the difference of
    these sums, spread over depth.

    $U = \arg\min \|\Sigma_h U - k\|^2 + \|\Sigma_w U - k\|^2$ subject to $\Sigma_d U = k$, and of these the one of
    least norm: constrained linear least squares, whose solution is linear in `k`. `(out, in, K, K)`, rows first,
    becomes `(out, in, K, K, K)`, axes (depth, height, width), of the same dtype.

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
