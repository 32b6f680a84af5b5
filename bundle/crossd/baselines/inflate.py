"""I3D inflation: a plain 3D kernel from a plain 2D one."""

from __future__ import annotations

from torch import Tensor

from crossd.errors import CrossDError, one_of

INFLATIONS = ("mean", "centre")


def inflate_kernel(kernel: Tensor, mode: str = "mean", depth: int | None = None) -> Tensor:
    """Inflate a 2D kernel along depth (Carreira and Zisserman, "Quo Vadis", arXiv 1705.07750, section 2.3).

    Args:
        kernel: `(out, in, height, width)`.
        mode: `"mean"`, the kernel divided by `depth` in every slice, which gives the 2D answer on a volume constant
            along depth; `"centre"`, the kernel in the middle slice (index `depth // 2`) and zeros elsewhere, which
            gives the 2D answer on every slice.
        depth: slices of the result; the size of a square kernel when left out.

    Returns:
        `(out, in, depth, height, width)`, a new tensor.

    Raises:
        CrossDError: for a tensor that is not a 2D kernel, one that is not square while `depth` is left out, or an
            unknown `mode`.

    >>> import torch
    >>> inflate_kernel(torch.full((1, 1, 4, 4), 4.0))[0, 0].sum((1, 2))
    tensor([16., 16., 16., 16.])
    >>> inflate_kernel(torch.ones(1, 1, 3, 3), "centre")[0, 0].sum((1, 2))
    tensor([0., 9., 0.])
    """
    one_of("mode", mode, INFLATIONS)
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
    if mode == "mean":
        return (kernel / depth).unsqueeze(2).repeat(1, 1, depth, 1, 1)
    inflated = kernel.new_zeros(*kernel.shape[:2], depth, height, width)
    inflated[:, :, depth // 2] = kernel
    return inflated
