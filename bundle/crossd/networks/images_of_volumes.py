"""What a 2D network sees of a volume: its slices, and its projections along any direction, of any size.

The sum over depth of a 3D convolution is the 2D convolution of the projection, Σ_d (U ⋆ V) = (Σ_d U) ⋆ (Σ_d V): for one
convolution without bias, of depth stride 1, with circular or K − 1 zeros of depth padding. That is the Fourier-slice
theorem, and why a kernel trained on images by `view="projection"` belongs to projections of volumes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from crossd.errors import CrossDError, one_of

KINDS = ("mean", "max", "std")
THICK = 3.0  # pixels longer than this times their width are not looked at


def directions(name: str, axes: Sequence[int] = (0, 1, 2)) -> list[tuple[int, int, int]]:
    """Directions to look along, as `(depth, height, width)`: the axes first, then diagonals of faces and of the cube.

    Args:
        name: `"axes"` (3) or `"diagonals"` (13: 3 axes, 6 face and 4 space diagonals).
        axes: along which one may look; with fewer than three there are no diagonals.

    >>> directions("axes"), len(directions("diagonals")), directions("diagonals", axes=[0])
    ([(1, 0, 0), (0, 1, 0), (0, 0, 1)], 13, [(1, 0, 0)])
    """
    one_of("directions", name, ("axes", "diagonals"))
    steps = [(i, j, k) for i, j, k in itertools.product((1, 0, -1), repeat=3) if (i, j, k) > (0, 0, 0)]
    steps.sort(key=lambda step: (sum(map(abs, step)), [-abs(value) for value in step]))
    along = [steps[axis] for axis in axes]
    return along + steps[3:] if name == "diagonals" and len(axes) == 3 else along


def square_axes(spacing: Sequence[float]) -> list[int]:
    """Axes along which a volume shows images whose pixels are square enough, at most 3 times as long as wide.

    Args:
        spacing: of voxels along `(depth, height, width)`, any unit.

    >>> square_axes((1, 1, 1)), square_axes((10, 1.5, 1.5))
    ([0, 1, 2], [0])

    Raises:
        CrossDError: where no axis is left.
    """
    pairs = [[float(step) for other, step in enumerate(spacing) if other != axis] for axis in range(3)]
    kept = [axis for axis, pair in enumerate(pairs) if max(pair) <= THICK * min(pair)]
    if not kept:
        raise CrossDError(
            f"An image needs pixels at most {THICK:g} times as long as wide, and voxels of {tuple(spacing)} give none. "
            "Give the card another spacing."
        )
    return kept


def slice_indices(length: int, step: int, most: int) -> list[int]:
    """Which slices along an axis are looked at: every `step`-th, the same distance from both ends, at most `most`.

    >>> slice_indices(7, 2, 100), slice_indices(8, 3, 100), slice_indices(100, 1, 3)
    ([0, 2, 4, 6], [0, 3, 6], [16, 50, 83])
    """
    count = max(1, min(most, math.ceil(length / step)))
    if count < math.ceil(length / step):  # the middles of `most` equal parts
        return [int((index + 0.5) * length / count) for index in range(count)]
    first = (length - 1 - (count - 1) * step) // 2
    return [first + index * step for index in range(count)]


def slices(x: Tensor, axis: int, step: int = 1, most: int = 1000) -> Tensor:
    """`(batch, channel, depth, height, width)` → `(batch, slice, channel, rows, columns)`, slices along `axis`.

    Rows and columns are the two other axes in their order, as in `crossd.conv.alignment`.

    >>> slices(torch.rand(2, 1, 4, 5, 6), axis=1, step=2).shape
    torch.Size([2, 3, 1, 4, 6])
    """
    index = torch.tensor(slice_indices(int(x.shape[2 + axis]), step, most))
    index = index.to(x).long()  # by way of `x`, so that a traced program has it wherever `x` is
    return x.index_select(2 + axis, index).movedim(2 + axis, 1)


def projections(x: Tensor, axis: int, kinds: Sequence[str] = KINDS, background: float = 0.0) -> Tensor:
    """`(batch, channel, depth, height, width)` → `(batch, kind, channel, rows, columns)`, seen along `axis`.

    Args:
        x: intensities of which `background` is the darkest.
        kinds: `"mean"`, `"max"`, `"std"`: the standard deviation along the axis, twice, from the background upwards, so
            that it fills the range of intensities as the others do.

    >>> projections(torch.tensor([0.0, 1.0]).reshape(1, 1, 2, 1, 1), axis=0).flatten().tolist()
    [0.5, 1.0, 1.0]
    """
    seen = []
    for kind in kinds:
        if kind == "mean":
            seen.append(x.mean(2 + axis))
        elif kind == "max":
            seen.append(x.amax(2 + axis))
        else:
            seen.append(2 * (x.var(2 + axis, correction=0) + 1e-12).sqrt() + background)
    return torch.stack(seen, 1)


def along_axis(
    x: Tensor, direction: tuple[int, int, int], spacing: Sequence[float], background: float = 0.0
) -> tuple[Tensor, int]:
    """Volumes, turned where `direction` is none of their axes, and the axis that lies along it."""
    along = [axis for axis in range(3) if direction[axis]]
    return (x, along[0]) if len(along) == 1 else (turn(x, direction, spacing, background), 0)


def smear(
    images: Tensor, direction: tuple[int, int, int], shape: Sequence[int], spacing: Sequence[float] = (1, 1, 1)
) -> Tensor:
    """Give what stands in the pixels of projections back to the voxels on their rays, in equal parts.

    It is the adjoint of the mean projection, and keeps the sum where rays meet the volume.

    Args:
        images: `(batch, 1, rows, columns)`, seen along `direction`.
        shape: of the volumes, `(depth, height, width)`.

    >>> smear(torch.tensor([[[[6.0, 0.0]]]]), (1, 0, 0), (3, 1, 2))[0, 0, :, 0].tolist()
    [[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]]
    """

    def seen(x: Tensor) -> Tensor:
        turned, axis = along_axis(x, direction, spacing)
        return turned.mean(2 + axis)

    with torch.enable_grad():
        ones = torch.ones(images.shape[0], 1, *shape).to(images).requires_grad_(True)
        inside = seen(ones)
        shares = images.detach() / inside.detach().clamp(min=1e-3)
        return torch.autograd.grad(inside, ones, shares)[0]


def turn(x: Tensor, direction: Sequence[float], spacing: Sequence[float], background: float = 0.0) -> Tensor:
    """Turn volumes about their centre so that what lay along `direction` runs along depth.

    Args:
        x: `(batch, channel, depth, height, width)`.
        direction: `(depth, height, width)`, in millimetres, any length.
        spacing: of voxels, which the turned volume keeps, as it keeps the size.
        background: what comes from outside of the volume.

    >>> volume = torch.zeros(1, 1, 5, 5, 5)
    >>> volume[0, 0, 2, :, 2] = 1
    >>> turn(volume, (0, 1, 0), (1, 1, 1))[0, 0, :, 2, 2].round().tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    shape = [int(length) for length in x.shape[2:]]
    matrix = torch.from_numpy(_sampling(shape, direction, spacing)).to(x)
    grid = F.affine_grid(matrix[None], [1, 1, *shape], align_corners=False)
    grid = grid.expand(x.shape[0], *grid.shape[1:])
    return F.grid_sample(x - background, grid, align_corners=False) + background


def _sampling(shape: Sequence[int], direction: Sequence[float], spacing: Sequence[float]) -> np.ndarray:
    """The `(3, 4)` matrix of `affine_grid`, whose axes are (width, height, depth) and run from −1 to 1."""
    ahead = np.asarray(direction, dtype=float) / np.linalg.norm(direction)
    beside = np.eye(3)[[1, 2, 0]][np.abs(ahead).argmax()]  # an axis off the direction, in the order of the axes
    rows = beside - (beside @ ahead) * ahead
    rows /= np.linalg.norm(rows)
    turned = np.stack([ahead, rows, np.cross(ahead, rows)], axis=1)  # columns: where (depth, height, width) come from
    extent = np.asarray(shape, dtype=float) * np.asarray(spacing, dtype=float)
    relative = turned * extent[None] / extent[:, None]
    return np.concatenate([relative[::-1, ::-1], np.zeros((3, 1))], axis=1)


def resize(x: Tensor, size: int, spacing: Sequence[float]) -> Tensor:
    """Interpolate to square pixels, or cubic voxels, the longest side `size` of them long.

    By a matrix for each axis, in 2D and 3D, in every runtime: `torch.nn.functional.interpolate` shrinks volumes by
    picking voxels, and its `antialias` is not in ONNX.

    Args:
        x: `(…, *spatial)`.
        spacing: of pixels or voxels along `spatial`, any unit.

    >>> resize(torch.rand(3, 1, 10, 10), 32, (2, 1)).shape
    torch.Size([3, 1, 32, 16])
    >>> resize(torch.rand(1, 1, 12, 90, 90), 48, (10, 1.5, 1.5)).shape
    torch.Size([1, 1, 43, 48, 48])
    """
    axes, last = range(x.ndim - len(spacing), x.ndim), x.ndim - 1
    extent = [int(x.shape[axis]) * float(step) for axis, step in zip(axes, spacing, strict=True)]
    for axis, side in zip(axes, extent, strict=True):
        length, wanted = int(x.shape[axis]), max(1, round(size * side / max(extent)))
        if length != wanted:
            weights = interpolation(length, wanted).to(x)
            x = (x.movedim(axis, last) @ weights.T).movedim(last, axis)
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
