"""Write volumes that are already `(depth, height, width)` so that reading them gives the same array back.

`plane="axial"` orients what it reads to SPL: depth runs to superior, height to posterior, width to the patient's left.
Files store the transpose, `(i, j, k) = (width, height, depth)`: the order in which scanners and viewers expect them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crossd.errors import CrossDError


def axial_to_stored(volume: np.ndarray, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> tuple[np.ndarray, np.ndarray]:
    """The stored array and the affine of a volume whose depth slices are axial images.

    Args:
        volume: shape `(depth, height, width)`, SPL.
        spacing: millimetres between voxels along (depth, height, width).

    Returns:
        The array `(i, j, k) = (width, height, depth)`, and `voxel_to_world` of shape `(4, 4)`: millimetres in RAS,
        the centre of the volume at the origin.

    Raises:
        CrossDError: not three axes, or a spacing that is not positive.

    >>> stored, voxel_to_world = axial_to_stored(np.zeros((5, 4, 3)), spacing=(2.0, 1.0, 0.5))
    >>> stored.shape, voxel_to_world.tolist()
    ((3, 4, 5), [[-0.5, 0.0, 0.0, 0.5], [0.0, -1.0, 0.0, 1.5], [0.0, 0.0, 2.0, -4.0], [0.0, 0.0, 0.0, 1.0]])
    """
    if volume.ndim != 3:
        raise CrossDError(f"A volume has the axes (depth, height, width), got shape {volume.shape}. Pass three axes.")
    if len(spacing) != 3 or not all(step > 0 for step in spacing):
        raise CrossDError(f"spacing is three positive lengths in millimetres, got {tuple(spacing)}.")
    stored = volume.transpose(2, 1, 0)  # (depth, height, width) -> (i, j, k): to the left, to posterior, to superior
    steps = np.array([-spacing[2], -spacing[1], spacing[0]])  # RAS counts to the right and to anterior, hence the signs
    voxel_to_world = np.diag([*steps, 1.0])
    voxel_to_world[:3, 3] = -steps * (np.array(stored.shape) - 1) / 2
    return stored, voxel_to_world


def write_nifti(path: str | os.PathLike[str], volume: np.ndarray, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> Path:
    """Write a volume `(depth, height, width)` as NIfTI; equal volumes give equal bytes.

    Args:
        path: ends in .nii or .nii.gz; its folder is made where it is missing.
        volume: shape `(depth, height, width)`, SPL, stored in its own dtype.
        spacing: millimetres between voxels along (depth, height, width).

    Returns:
        The path.

    Raises:
        CrossDError: as `axial_to_stored`, or a path that is not NIfTI.
    """
    import nibabel

    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise CrossDError(f"A NIfTI file ends in .nii or .nii.gz, got {path.name!r}. Rename it.")
    stored, voxel_to_world = axial_to_stored(volume, spacing)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(stored, voxel_to_world, dtype=stored.dtype)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path
