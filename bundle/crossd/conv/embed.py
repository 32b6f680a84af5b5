"""From a plain kernel to a 3D one: inflated, or the stored `U` that gives it back when nothing moves (θ = 0)."""

from __future__ import annotations

import torch
from torch import Tensor

from crossd.conv.tomographic import tomographic_kernel
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
            (`view="projection"` gives it back exactly; see `crossd.conv.tomographic`).

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
            `crossd.conv.tomographic`.
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
