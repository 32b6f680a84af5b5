"""From a plain kernel to the stored 3D weight `U` that gives it back when nothing moves (θ = 0)."""

from __future__ import annotations

import torch
from torch import Tensor

from crossd.errors import CrossDError, one_of

FILLS = ("centre", "mean")


def embed_kernel(kernel: Tensor, *, alignment: str = "dynamic", motion: str = "shift", fill: str = "centre") -> Tensor:
    """Build `U` from a plain 2D or 3D kernel.

    At θ = 0 the published shift is a roll by `(1, 1, 1)`, so for every alignment but `"raw"` the kernel is stored
    rolled back by one voxel; a rotation by zero moves nothing.

    Args:
        kernel: `(out, in, K, K)` or `(out, in, K, K, K)`.
        alignment: of the layer that receives `U`.
        motion: of the layer that receives `U`.
        fill: where a 2D kernel goes: `"centre"`, into the middle depth slice with zeros elsewhere (both views give the
            kernel back); `"mean"`, divided by `K` into every slice (I3D inflation: `view="projection"` gives it back).

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
    size = spatial[0]
    if len(spatial) == 3:
        volume = kernel.clone()
    elif fill == "mean":
        volume = (kernel / size).unsqueeze(2).repeat(1, 1, size, 1, 1)
    else:
        volume = kernel.new_zeros(*kernel.shape[:2], size, size, size)
        volume[:, :, size // 2] = kernel
    if motion == "shift" and alignment != "raw":
        volume = torch.roll(volume, (-1, -1, -1), (2, 3, 4))
    return volume
