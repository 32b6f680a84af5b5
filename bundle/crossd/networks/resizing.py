"""Linear interpolation of images and volumes of any size, smaller ones by means of what falls into a pixel.

It is a product with one small matrix for each axis, so it is the same in 2D and 3D, and every runtime has it.
`torch.nn.functional.interpolate` shrinks volumes by picking voxels, and its `antialias` for images is not in ONNX.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def resize(x: Tensor, size: int, spacing: Sequence[float]) -> Tensor:
    """Interpolate to square pixels, or cubic voxels, the longest side `size` of them long.

    Args:
        x: `(batch, channel, *spatial)`.
        spacing: of pixels or voxels along `spatial`, any unit.

    >>> resize(torch.rand(3, 1, 10, 10), 32, (2, 1)).shape
    torch.Size([3, 1, 32, 16])
    >>> resize(torch.rand(1, 1, 12, 90, 90), 48, (10, 1.5, 1.5)).shape
    torch.Size([1, 1, 43, 48, 48])
    """
    extent = [length * float(step) for length, step in zip(x.shape[2:], spacing, strict=True)]
    for axis, side in enumerate(extent):
        length, wanted = int(x.shape[2 + axis]), max(1, round(size * side / max(extent)))
        if length != wanted:
            weights = interpolation(length, wanted).to(x)
            x = (x.movedim(2 + axis, -1) @ weights.T).movedim(-1, 2 + axis)
    return x


def interpolation(length: int, wanted: int) -> Tensor:
    """The matrix `(wanted, length)` that interpolates along an axis; its rows have the sum 1.

    Each wanted pixel is the mean of the given ones under a triangle about its middle, which reaches to the middle of
    the next pixel, given or wanted, whichever is further: that of `interpolate(mode="bilinear", antialias=True)`.

    >>> interpolation(4, 2), interpolation(2, 4)
    (tensor([[0.4286, 0.4286, 0.1429, 0.0000],
            [0.0000, 0.1429, 0.4286, 0.4286]]), tensor([[1.0000, 0.0000],
            [0.7500, 0.2500],
            [0.2500, 0.7500],
            [0.0000, 1.0000]]))
    """
    step = length / wanted
    middles = (torch.arange(wanted, dtype=torch.float64) + 0.5) * step
    away = (torch.arange(length, dtype=torch.float64) + 0.5 - middles[:, None]).abs()
    weights = (1 - away / max(step, 1)).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).float()
