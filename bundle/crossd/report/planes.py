"""Which slices of a volume a reader sees: three planes, the right way up, some slices of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from torch import Tensor

from crossd.data.transforms import AXCODES
from crossd.inference import WindowMap

Orientation = tuple[str, tuple[int, int, int], tuple[bool, bool, bool], tuple[str, ...]]

_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))


@dataclass(frozen=True)
class Plane:
    """Slices of one plane, as pictures of one size.

    Attributes:
        name: "axial", "coronal" or "sagittal"; "along depth" and so on where no affine says where the axes run to.
        axes: of the volume's axes the one the slices are counted along, the one of the rows and that of the columns.
        flips: of these axes, those that run the other way in the picture.
        total: how many slices the volume has.
        shown: which of them are there, in the order of the pictures.
        size: rows and columns of a picture; a pixel is as high as it is wide, in millimetres.
        sides: where the picture's left, right, top and bottom edge point to; empty without an affine.
    """

    name: str
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    total: int
    shown: tuple[int, ...]
    size: tuple[int, int]
    sides: tuple[str, ...]

    @property
    def middle(self) -> int:
        """Of the slices shown the one nearest to the middle of the volume."""
        return len(self.shown) // 2

    def picture(self, values: Tensor) -> Tensor:
        """Of a volume `(depth, height, width)` the slices `(slices, rows, columns)`, linearly resampled."""
        return F.interpolate(self._slices(values), self.size, mode="bilinear", antialias=True)[0]

    def labels(self, values: Tensor) -> Tensor:
        """Of class indices `(depth, height, width)` the slices `(slices, rows, columns)`, by the nearest voxel."""
        return F.interpolate(self._slices(values), self.size, mode="nearest-exact")[0].int()

    def _slices(self, values: Tensor) -> Tensor:
        slices = values.index_select(self.axes[0], torch.tensor(self._positions)).permute(self.axes)
        return slices.flip([axis for axis in (1, 2) if self.flips[axis]])[None].float()

    def overlay(self, window_map: WindowMap, shrink: int) -> Tensor:
        """The same slices of a map, with `shrink` times fewer rows and columns; the map itself is never made."""
        rows, columns = (max(1, size // shrink) for size in self.size)
        shares = list(window_map.shares)
        shares[self.axes[0]] = shares[self.axes[0]][list(self._positions)]
        for axis, size in zip(self.axes[1:], (rows, columns), strict=True):
            shares[axis] = F.adaptive_avg_pool1d(shares[axis].T[None], size)[0].T
        slices = window_map.on(shares)().permute(self.axes)
        return slices.flip([axis for axis in (1, 2) if self.flips[axis]])

    @property
    def _positions(self) -> tuple[int, ...]:
        """Indices of the shown slices along the volume's axis, which may run the other way."""
        return tuple(self.total - 1 - index for index in self.shown) if self.flips[0] else self.shown


def planes_of(image: MetaTensor, slices: int, pixels: int) -> list[Plane]:
    """The planes of a preprocessed volume, the one its slices along depth belong to first.

    Args:
        image: `(channel, depth, height, width)` with an RAS affine; `meta["has_affine"]` False where the file has none.
        slices: how many of the first plane at most, evenly spaced; half as many of the others.
        pixels: of a picture's longer side at most. Volumes are never enlarged.

    >>> image = MetaTensor(torch.zeros(1, 20, 30, 40), affine=torch.diag(torch.tensor([1.0, -1, 2, 1])))
    >>> [(plane.name, plane.size, plane.shown) for plane in planes_of(image, slices=3, pixels=20)]
    [('sagittal', (20, 8), (3, 10, 16)), ('axial', (8, 5), (20,)), ('coronal', (20, 5), (15,))]
    """
    shape = [int(size) for size in image.shape[1:]]
    spacing = [float(step) for step in image.affine[:3, :3].double().norm(dim=0)]
    scale = min(pixels / max(n * step for n, step in zip(shape, spacing, strict=True)), 1 / min(spacing))
    planes = []
    for name, axes, flips, sides in _orientations(image):
        first = axes[0] == 0
        size = tuple(max(1, round(shape[axis] * spacing[axis] * scale)) for axis in axes[1:])
        shown = _spread(shape[axes[0]], slices if first else max(1, slices // 2))
        planes.append(Plane(name, axes, flips, shape[axes[0]], shown, (size[0], size[1]), sides))
    return sorted(planes, key=lambda plane: plane.axes[0] != 0)


def _orientations(image: MetaTensor) -> list[Orientation]:
    """Of each plane its name, and `axes`, `flips` and `sides` of `Plane`."""
    codes = nib.orientations.aff2axcodes(image.affine.numpy())
    if not image.meta.get("has_affine", True) or None in codes:
        names = ("along depth", "along height", "along width")
        orders = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
        return [(name, order, (False, False, False), ()) for name, order in zip(names, orders, strict=True)]
    found: list[Orientation] = []
    for name, wanted in AXCODES.items():
        axes = [next(axis for axis, code in enumerate(codes) if code in (to, _OPPOSITE[to])) for to in wanted]
        flips = [codes[axis] != to for axis, to in zip(axes, wanted, strict=True)]
        down, right = wanted[1], wanted[2]
        sides = (_OPPOSITE[right], right, _OPPOSITE[down], down)
        found.append((name, (axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]), sides))
    return found


def _spread(total: int, count: int) -> tuple[int, ...]:
    """The middles of `count` equal parts of `total` slices; all of them where there are not more.

    >>> _spread(9, 3), _spread(2, 5)
    ((1, 4, 7), (0, 1))
    """
    count = min(count, total)
    return tuple(int((index + 0.5) * total / count) for index in range(count))


def peak(slices: Tensor) -> int:
    """Which of the slices `(slices, rows, columns)` holds the highest value; the middle one where several do.

    >>> peak(torch.tensor([0.1, 0.9, 0.9, 0.9, 0.2])[:, None, None])
    2
    """
    highest = slices.flatten(1).amax(1)
    same: Sequence[int] = (highest >= highest.max() - 1e-6).nonzero()[:, 0].tolist()
    return same[len(same) // 2]
