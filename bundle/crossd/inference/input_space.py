"""Bring a map or a mask from the network's grid back to the grid of the image it was made from, and write it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import SpatialResample
from torch import Tensor

from crossd.data.resampling import parallel_grids, resample_axis
from crossd.data.volume import NIFTI_SUFFIXES
from crossd.files import replaced
from crossd.inference.window_map import WindowMap

SLAB = 2**24  # voxels resampled at a time: the sampling grid takes 12 bytes for each, whatever the volume's size

STRAY = 0.01  # voxels: DICOM's cosines have six digits, which `tidy_affine` rounds in the image's affine


def map_in_input_space(window_map: WindowMap, image: MetaTensor) -> tuple[np.ndarray, np.ndarray]:
    """`to_input_space` of a window map, without the map on the preprocessed grid.

    A uniform map is the same on any grid. Otherwise the map is a sum of products of one function per axis, so
    on grids with parallel axes these functions are resampled, not the map.
    """
    shape, affine = _file_grid(image)
    if window_map.uniform:
        return np.full(shape, float(window_map.values.mean()), np.float32), affine
    grids = parallel_grids(image.affine.numpy(), affine, shape, STRAY)
    if grids is None:
        return to_input_space(window_map(), image)
    shares = list(window_map.shares)
    for axis, along in enumerate(grids.axes):
        shares[along] = resample_axis(shares[along], 0, grids.first[axis], grids.step[axis], shape[axis])
    return window_map.on(shares)().permute(grids.axes).numpy(), affine


def to_input_space(values: Tensor, image: MetaTensor) -> tuple[np.ndarray, np.ndarray]:
    """Resample a map on a preprocessed image's grid to the grid the image was read from.

    Linear interpolation by the two affines (both voxel to RAS millimetres); voxels of the input beyond the
    preprocessed grid, half a voxel at most, take the nearest value.

    Args:
        values: the map `(depth, height, width)`, on the grid of `image`.
        image: preprocessed; its meta holds `spatial_shape` and `original_affine` of the file.

    Returns:
        The map `(i, j, k)` in the file's index order, float32, and the file's affine `(4, 4)`.

    >>> image = MetaTensor(torch.zeros(1, 2, 3, 4), affine=torch.eye(4).double())
    >>> image.meta.update(spatial_shape=(2, 3, 4), original_affine=torch.eye(4).double())
    >>> values, affine = to_input_space(torch.rand(2, 3, 4), image)
    >>> values.shape, affine.shape
    ((2, 3, 4), (4, 4))
    """
    shape, affine = _file_grid(image)
    grid = MetaTensor(values[None].float(), affine=image.affine)
    resample = SpatialResample(mode="bilinear", padding_mode="border", dtype=np.float32)
    restored = np.empty(shape, np.float32)
    rows = max(1, SLAB // (shape[1] * shape[2]))
    for first in range(0, shape[0], rows):
        slab = restored[first : first + rows]
        corner = affine.copy()
        corner[:3, 3] += first * affine[:3, 0]
        slab[:] = np.asarray(resample(grid, dst_affine=torch.from_numpy(corner), spatial_size=slab.shape)[0])
    return restored, affine


def _file_grid(image: MetaTensor) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and affine of the file that a preprocessed image was read from."""
    affine = torch.as_tensor(image.meta["original_affine"], dtype=torch.float64).numpy()
    return tuple(int(size) for size in image.meta["spatial_shape"]), affine


def save_map(path: Path, values: np.ndarray, affine: np.ndarray, like: str | None = None, about: str = "") -> None:
    """Write a map as NIfTI, whole or not at all.

    Args:
        path: ends in `.nii.gz`; its folder exists.
        values: `(i, j, k)`.
        affine: `(4, 4)`, voxel to RAS millimetres.
        like: the image's own file; when it is NIfTI its sform and qform codes are taken over, so that viewers place
            both alike.
        about: what the values are, into the header's `descrip`, which holds 79 bytes.
    """
    source: Any = nib.load(like) if like is not None and like.lower().endswith(NIFTI_SUFFIXES) else None
    if source is not None:
        affine = source.affine  # without any code nibabel's own guess, so that all viewers guess alike for both
    image = nib.Nifti1Image(values, affine)
    image.set_sform(affine, code="scanner" if source is None else int(source.header.get("sform_code", 0)))
    image.set_qform(affine, code="unknown" if source is None else int(source.header.get("qform_code", 0)))
    if source is not None and "xyzt_units" in source.header:  # the affine is in the unit of the source
        image.header["xyzt_units"] = int(source.header["xyzt_units"]) & 7
    image.header["descrip"] = about.encode()[:79]
    with replaced(path) as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:
        image.to_stream(packed)


def mask_in_input_space(logits: Tensor, image: MetaTensor) -> tuple[np.ndarray, np.ndarray]:
    """The most probable class of each voxel of the input.

    Probabilities, not classes, are interpolated (linear, by the two affines), so that borders are smooth where the
    input is finer than the network's grid; where the grids are one and the same, nothing is. One class is held on the
    input's grid at a time.

    Args:
        logits: `(classes, depth, height, width)` on the grid of `image`.
        image: as `to_input_space` takes it.

    Returns:
        Class indices `(i, j, k)` in the file's index order, uint8 (uint16 beyond 256 classes), and the file's affine.

    >>> image = MetaTensor(torch.zeros(1, 2, 3, 4), affine=torch.eye(4).double())
    >>> image.meta.update(spatial_shape=(2, 3, 4), original_affine=torch.eye(4).double())
    >>> mask, affine = mask_in_input_space(torch.tensor([0.0, 2.0]).reshape(2, 1, 1, 1).expand(2, 2, 3, 4), image)
    >>> mask.shape, int(mask.min())
    ((2, 3, 4), 1)
    """
    shape, affine = _file_grid(image)
    grids = parallel_grids(image.affine.numpy(), affine, shape, STRAY)
    probabilities = logits.detach().float().cpu().softmax(0)
    best = np.zeros(shape, np.uint8 if len(probabilities) <= 256 else np.uint16)
    highest: np.ndarray | None = None
    for index, values in enumerate(probabilities):
        if grids is None:
            there = to_input_space(values, image)[0]
        else:
            moved = values.permute(grids.axes)
            for axis, size in enumerate(shape):
                moved = resample_axis(moved, axis, _on_voxels(grids.first[axis]), grids.step[axis], size)
            there = moved.numpy()
        if highest is None:
            highest = np.array(there)
            continue
        higher = there > highest
        best[higher] = index
        highest[higher] = there[higher]
    return best, affine


def _on_voxels(first: float) -> float:
    """A start that lies on a voxel but for rounding, on it: then nothing is interpolated.

    >>> _on_voxels(2.9999999), _on_voxels(2.75)
    (3.0, 2.75)
    """
    return float(round(first)) if abs(first - round(first)) < 1e-4 else first
