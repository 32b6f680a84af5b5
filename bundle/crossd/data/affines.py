"""Affines without the digits that file formats lose."""

from __future__ import annotations

import numpy as np

# DICOM's direction cosines come with six decimals or so; gantries are tilted by 0.009 (0.5°) and more.
SHEAR_TOLERANCE = 1e-4
SPACING_DIGITS = 6


def tidy_affine(voxel_to_world: np.ndarray) -> np.ndarray:
    """Round the spacing to six digits and make axes orthogonal that are so but for rounding.

    NIfTI stores affines in float32 and DICOM in decimal strings. MONAI's `Spacing` decides by differences of 1e-8
    whether an output grid starts at the corner of the input or is centred on it (`compute_shape_offset`), and rounds
    sizes at halves, so the same scan in two formats would be resampled half a voxel apart.

    Args:
        voxel_to_world: `(4, 4)`, any orthogonal, sheared or mirrored affine.

    Returns:
        An affine that differs by less than 1e-4 voxels per voxel; a real shear, as of a tilted gantry, is kept. Voxel
        0 stays in its place.

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
