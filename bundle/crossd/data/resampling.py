"""Linear resampling axis by axis, which is all that grids with parallel axes need."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor, get_track_meta
from monai.transforms import Spacingd, SpatialResample
from monai.transforms.inverse import TraceableTransform
from monai.utils import convert_to_tensor

from crossd.data.declared_sizes import check_voxels

_TOLERANCE = 1e-3  # voxels, over the whole volume: rounding of affines stays below, a rotation of 0.001° does not


# DICOM's direction cosines come with six decimals or so; gantries are tilted by 0.009 (0.5°) and more.
SHEAR_TOLERANCE = 1e-4
SPACING_DIGITS = 6


@dataclass(frozen=True)
class ParallelGrids:
    """How the voxels of one grid lie in another one whose axes are parallel to its own, in voxels of the source.

    >>> target = np.array([[0, -2.0, 0, 9], [1, 0, 0, 0], [0, 0, 1, 0.5], [0, 0, 0, 1]])
    >>> parallel_grids(np.eye(4), target, (3, 4, 5))
    ParallelGrids(axes=(1, 0, 2), first=(0.0, 9.0, 0.5), step=(1.0, -2.0, 1.0))
    """

    axes: tuple[int, int, int]  # for each axis of the target that of the source that it runs along
    first: tuple[float, ...]  # where the target's voxel 0 lies on each of these axes
    step: tuple[float, ...]  # from one voxel of the target to the next; negative where the axis is flipped


def parallel_grids(
    source: np.ndarray, target: np.ndarray, shape: Sequence[int], tolerance: float = _TOLERANCE
) -> ParallelGrids | None:
    """The relation of two grids; None where an axis of one is oblique to those of the other.

    Args:
        source: affine `(4, 4)` of the grid that is sampled.
        target: affine `(4, 4)` of the grid that is wanted.
        shape: voxels of the target along each axis.
        tolerance: how far an axis may stray sideways over its whole length, in voxels of the source.
    """
    voxel_to_voxel = np.linalg.solve(np.asarray(source, dtype=float), np.asarray(target, dtype=float))
    linear = voxel_to_voxel[:3, :3]
    axes = np.abs(linear).argmax(axis=0)
    sideways = np.abs(linear) * np.asarray(shape, dtype=float)
    sideways[axes, range(3)] = 0
    if sorted(axes) != [0, 1, 2] or sideways.max() > tolerance:
        return None
    first, step = voxel_to_voxel[axes, 3], linear[axes, range(3)]
    return ParallelGrids((int(axes[0]), int(axes[1]), int(axes[2])), tuple(map(float, first)), tuple(map(float, step)))


def resample_axis(data: torch.Tensor, axis: int, first: float, step: float, size: int) -> torch.Tensor:
    """Linear interpolation along one axis at `first + step · (0 … size − 1)`; beyond the ends the value at the end.

    >>> resample_axis(torch.tensor([0.0, 10.0, 30.0]), 0, 0.5, 0.5, 5)
    tensor([ 5., 10., 20., 30., 30.])
    """
    length = data.shape[axis]
    at = (first + step * torch.arange(size, dtype=torch.float64)).clamp(0, length - 1)
    low = at.floor().clamp(max=max(length - 2, 0))
    weight = (at - low).to(data.dtype)
    index = low.long().to(data.device)
    if not weight.any():
        whole = size == length and first == 0 and step == 1
        return data if whole else data.index_select(axis, index)
    along = weight.to(data.device).reshape(-1, *[1] * (data.ndim - 1 - axis))
    return torch.lerp(data.index_select(axis, index), data.index_select(axis, index + 1), along)


class SeparableResample(SpatialResample):
    """MONAI's `SpatialResample`, computed axis by axis where both grids have parallel axes.

    MONAI makes a sampling grid of three float64 coordinates a voxel and copies the image to float64: 24 bytes a voxel
    and eight reads for each. Along one axis after the other it is two reads each, in float32, and no grid. What is not
    linear, or oblique, is MONAI's. The inverse is MONAI's too.
    """

    def __call__(
        self,
        img: torch.Tensor,
        dst_affine: torch.Tensor | None = None,
        spatial_size: Any = None,
        mode: str | int | None = None,
        padding_mode: str | None = None,
        align_corners: bool | None = None,
        dtype: Any = None,
        lazy: bool | None = None,
    ) -> torch.Tensor:
        """As MONAI's: `img (channel, i, j, k)` on the grid of `dst_affine` and `spatial_size`, float32."""
        grids, source, target = None, np.eye(4), np.eye(4)
        linear = (mode or self.mode, padding_mode or self.padding_mode) == ("bilinear", "border")
        eager = not (self.lazy if lazy is None else lazy) and not getattr(img, "pending_operations", None)
        if linear and eager and isinstance(img, MetaTensor) and img.ndim == 4 and np.size(spatial_size) == 3:
            size = tuple(int(value) for value in spatial_size)
            source, target = img.affine.numpy(), np.asarray(img.affine if dst_affine is None else dst_affine)
            same = size == tuple(img.shape[1:]) and np.allclose(source, target, atol=1e-3)  # MONAI's tolerance
            grids = None if same else parallel_grids(source, target, size)
        if not isinstance(img, MetaTensor) or grids is None:
            return super().__call__(img, dst_affine, spatial_size, mode, padding_mode, align_corners, dtype, lazy)
        data = img.as_tensor().float().permute(0, *(axis + 1 for axis in grids.axes))
        shrinking_first = sorted(range(3), key=lambda axis: size[axis] / data.shape[axis + 1])
        for axis in shrinking_first:
            data = resample_axis(data, axis + 1, grids.first[axis], grids.step[axis], size[axis])
        meta = TraceableTransform.track_transform_meta(
            img,
            sp_size=size,
            affine=torch.as_tensor(np.linalg.solve(source, target)),
            extra_info={
                "dtype": "float64",
                "mode": "bilinear",
                "padding_mode": "border",
                "align_corners": self.align_corners if align_corners is None else align_corners,
                "src_affine": img.affine,
            },
            orig_size=tuple(img.shape[1:]),
            transform_info=self.get_transform_info(),
            lazy=False,
        )
        out = convert_to_tensor(data, track_meta=get_track_meta())
        return out.copy_meta_from(meta) if isinstance(out, MetaTensor) else out


class SeparableSpacingd(Spacingd):
    """MONAI's `Spacingd` with `SeparableResample`; sheared volumes (gantry tilt) go MONAI's way.

    >>> image = MetaTensor(torch.rand(1, 4, 5, 6), affine=torch.diag(torch.tensor([2.0, 1, 1, 1])))
    >>> SeparableSpacingd("image", pixdim=[1.0, 1.0, 1.0])({"image": image})["image"].shape
    torch.Size([1, 7, 5, 6])
    """

    def __init__(self, keys: Any, pixdim: Sequence[float], **options: Any) -> None:
        super().__init__(keys, pixdim, **options)
        monais = self.spacing_transform.sp_resample
        self.spacing_transform.sp_resample = SeparableResample(
            monais.mode, monais.padding_mode, monais.align_corners, monais.dtype, monais.lazy
        )
        self.wanted = np.array(pixdim, dtype=float)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        """As MONAI's, which takes entries such as MONAI Label's `image_path` for meta data: they stay as they are."""
        for key in self.key_iterator(dict(data)):
            image = data[key]
            if isinstance(image, MetaTensor) and len(self.wanted) == 3 and image.ndim == 4:
                spacing = np.linalg.norm(image.affine.numpy()[:3, :3], axis=0)
                name = str(image.meta.get("filename_or_obj", key))
                at = " × ".join(f"{step:g}" for step in self.wanted)
                sizes = np.maximum(np.array(image.shape[1:]) * spacing / self.wanted, 1)  # no axis is empty
                check_voxels(name, sizes, f"has, at {at} mm,")
        images = {key: data[key] for key in self.key_iterator(dict(data))}
        return {**data, **super().__call__(images, lazy)}


def tidy_affine(voxel_to_world: np.ndarray) -> np.ndarray:
    """An affine `(4, 4)` with the spacing rounded to six digits and axes orthogonal that are so but for rounding.

    NIfTI stores affines in float32 and DICOM in decimal strings. MONAI's `Spacing` decides by differences of 1e-8
    whether an output grid starts at the corner of the input or is centred on it (`compute_shape_offset`), and rounds
    sizes at halves, so the same scan in two formats would be resampled half a voxel apart. The change is below 1e-4
    voxels per voxel; a real shear, as of a tilted gantry, is kept, and voxel 0 stays in its place.

    >>> tidy_affine(np.diag([np.float32(0.7), -np.float32(0.9), 2.9999998, 1]).astype(float)).diagonal().tolist()
    [0.7, -0.9, 3.0, 1.0]
    """
    tidy = np.array(voxel_to_world, dtype=np.float64)
    spacing = np.linalg.norm(tidy[:3, :3], axis=0)
    directions = tidy[:3, :3] / spacing
    left, _, right = np.linalg.svd(directions)
    orthogonal = left @ right  # the nearest one, mirrored if the axes are
    if np.abs(directions - orthogonal).max() < SHEAR_TOLERANCE:
        directions = np.where(np.abs(orthogonal) < 1e-12, 0.0, orthogonal)
    tidy[:3, :3] = directions * [float(f"{size:.{SPACING_DIGITS}g}") for size in spacing]
    return tidy
