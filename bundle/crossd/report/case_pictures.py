"""The pictures of a case: its slices in three planes, the right way up, and the maps over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nibabel as nib
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from torch import Tensor

from crossd.data.transforms import AXCODES
from crossd.inference import WindowMap
from crossd.report.strips import grey_strip, mask_strip, tint_strip

PIXELS = 256  # of a picture's longer side at most
SHRINK = 2  # a map has so many times fewer rows and columns
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


@dataclass(frozen=True)
class Pictures:
    """Slices of one plane as data URIs.

    Attributes:
        plane: which slices.
        grey: of the volume.
        maps: of the maps by kind, "evidence", "saliency" or "mask".
        peaks: by kind, which of the slices has the highest value, or most of the mask.
        opens_at: the slice that is seen first; None for the middle one.
    """

    plane: Plane
    grey: str
    maps: Mapping[str, str] = field(default_factory=dict)
    peaks: Mapping[str, int] = field(default_factory=dict)
    opens_at: int | None = None


def pictures_of(
    image: MetaTensor, maps: Mapping[str, WindowMap | Tensor], card_input: Mapping[str, Any], slices: int
) -> tuple[list[Pictures], list[str]]:
    """The pictures of a preprocessed volume, and what to say about them.

    Args:
        image: `(channel, depth, height, width)`; its first channel is shown.
        maps: "evidence" and perhaps "saliency", of which what is no probability is divided by its largest value here;
            or "mask", class indices `(depth, height, width)`.
        card_input: `input` of the model's card; its mean and standard deviation give the grey scale back.
        slices: see `planes_of`.
    """
    mean, std = (_first(card_input[name]) for name in ("mean", "std"))
    volume = image.as_tensor()[0].cpu()
    pictures = []
    planes = planes_of(image, slices, PIXELS)
    scales = {kind: _scale(planes, found) for kind, found in maps.items() if isinstance(found, WindowMap)}
    for plane in planes:
        drawn = {kind: _layer(plane, found, scales.get(kind, 1.0)) for kind, found in maps.items()}
        layers = {kind: layer for kind, layer in drawn.items() if layer is not None}
        tints = {kind: strip for kind, (strip, _) in layers.items()}
        peaks = {kind: at for kind, (_, at) in layers.items()}
        within = isinstance(found := maps.get("evidence"), WindowMap) and not found.probability
        opens_at = peaks.get("evidence") if within else None
        pictures.append(Pictures(plane, grey_strip(plane.picture(volume) * std + mean), tints, peaks, opens_at))
    remarks = []
    if len(image) > 1:
        whole = " The maps are of all channels together." if maps else ""
        remarks.append(f"Channel 1 of {len(image)}, {card_input['channels'][0]}.{whole}")
    for kind, found in maps.items():
        if isinstance(found, Tensor):
            remarks += [] if found.any() else ["The mask is empty: nothing was found."]
        elif found.probability and found.uniform:
            remarks.append("All windows say the same, so their evidence is the same everywhere.")
        elif scales[kind] <= 0:
            what = "Grad-CAM is 0 everywhere: nothing in this layer" if kind == "saliency" else "No voxel"
            remarks.append(f"{what} speaks for the class.")
    if not image.meta.get("has_affine", True):
        remarks.append("The file does not say where its axes run to; they are shown as stored.")
    return pictures, remarks


def _layer(plane: Plane, found: WindowMap | Tensor, scale: float) -> tuple[str, int] | None:
    """The strip of a map, and which of its slices shows most; None where it says nothing."""
    if isinstance(found, Tensor):
        labels = plane.labels(found)
        return (mask_strip(labels), peak((labels > 0).float().mean((1, 2))[:, None, None])) if found.any() else None
    if scale <= 0 or found.uniform:
        return None
    layer = plane.overlay(found, SHRINK) / scale
    return tint_strip(layer), peak(layer)


def _scale(planes: Sequence[Plane], found: WindowMap) -> float:
    """What is opaque: of a probability 1, of other maps the largest value that is seen in any of the planes."""
    return 1.0 if found.probability else max(float(plane.overlay(found, SHRINK).max()) for plane in planes)


def _first(value: Any) -> float:
    return float(value[0] if isinstance(value, (list, tuple)) else value)
