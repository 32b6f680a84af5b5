"""Slices that no even stack holds, as of a tilted gantry, resampled onto one whose axes are at right angles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossd.data.declared_sizes import check_voxels
from crossd.errors import CrossDError

TILT = ("correct", "refuse")


def places_off_first(
    positions: Sequence[Sequence[float]], orientation: Sequence[float], spacing: Sequence[float]
) -> tuple[tuple[float, float, float], ...]:
    """Where slices lie off the first one: columns and rows (in voxels), and height along the normal (in millimetres).

    Positions and orientation are DICOM's; the spacing is that between rows, then between columns.

    >>> places_off_first([(0, 0, 0), (4, 3, 2)], (1, 0, 0, 0, 1, 0), (0.5, 2.0))
    ((0.0, 0.0, 0.0), (2.0, 6.0, 2.0))
    """
    rows, columns = np.array(orientation[:3], dtype=float), np.array(orientation[3:], dtype=float)
    apart = np.array(positions, dtype=float) - np.array(positions[0], dtype=float)
    offsets = (apart @ rows / spacing[1], apart @ columns / spacing[0], apart @ np.cross(rows, columns))
    return tuple((float(i), float(j), float(height)) for i, j, height in zip(*offsets, strict=True))


def check_neighbours(places: Sequence[Sequence[float]], size: Sequence[int], name: str) -> None:
    """Refuse slices that lie, by their places off the first, a whole image beside the one before them."""
    moves = np.abs(np.diff(np.array(places)[:, :2], axis=0)) / np.array(size)
    if not len(moves) or moves.max() < 1:
        return
    at = int(moves.max(axis=1).argmax())
    raise CrossDError(
        f"Neighbouring slices of a volume must overlap: slice {at + 2} of {len(places)} of {name} lies beside the one "
        f"before it, {moves[at].max():.4g} times its width or height away. Correct ImagePositionPatient (0020,0032), "
        "or put its parts into folders as series of their own."
    )


def straighten(
    voxels: np.ndarray,
    voxel_to_world: np.ndarray,
    places: Sequence[Sequence[float]],
    step: float,
    name: str = "a series",
) -> tuple[np.ndarray, np.ndarray]:
    """Put each slice where it lies, and interpolate between neighbours (linearly) where slices are to be.

    Each slice keeps its plane: it is moved within it, along the shear, and not turned. Where a slice does not reach,
    the volume gets its smallest value.

    Args:
        voxels: `(column, row, slice)`, slices sorted along their normal.
        voxel_to_world: 4 × 4 in RAS of the first slice; its third column points along the normal, of any length.
        places: of `places_off_first`.
        step: millimetres between the new slices; the first and the last one stay.
        name: of the series, for messages.

    Returns:
        float32 `(column, row, slice)`, with as many columns and rows more as the slices are moved by, and its affine.

    Raises:
        CrossDError: slices so far apart that no memory holds the volume.

    >>> places = [(0, 0, 0.0), (0, 1, 2.0), (0, 2, 4.0)]  # each slice one row on
    >>> moved, _ = straighten(np.arange(3.0).reshape(1, 1, 3) + 1, np.eye(4), places, 2.0)
    >>> moved[0].T.tolist()
    [[1.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, 1.0, 3.0]]
    """
    offsets = np.asarray(places, dtype=float)
    heights = offsets[:, 2]
    span = float(heights[-1] - heights[0])
    count = max(round(span / step), 1) + 1 if len(heights) > 1 else 1
    reach = offsets[:, :2].max(axis=0) - offsets[:, :2].min(axis=0)
    check_voxels(name, (*(voxels.shape[:2] + reach), count), "has, with its slices where they lie,")
    first = np.floor(offsets[:, :2].min(axis=0) + 1e-6).astype(int)
    size = voxels.shape[:2] + np.ceil(offsets[:, :2].max(axis=0) - 1e-6).astype(int) - first
    background = np.float32(voxels.min())
    out = np.empty((count, *size[::-1]), dtype=np.float32).transpose(2, 1, 0)  # columns run fastest, as in files
    moved: dict[int, np.ndarray] = {}
    for k in range(count):
        height = heights[0] + span * k / max(count - 1, 1)
        below = int(np.clip(np.searchsorted(heights, height + 1e-6, side="right") - 1, 0, len(heights) - 1))
        above = min(below + 1, len(heights) - 1)
        gap = heights[above] - heights[below]
        weight = 0.0 if gap <= 0 else float(np.clip((height - heights[below]) / gap, 0, 1))
        between = (below, above) if weight > 1e-6 else (below,)
        moved = {index: plane for index, plane in moved.items() if index in between}
        for index in set(between) - set(moved):
            moved[index] = _move(voxels[:, :, index], offsets[index, :2] - first, size, background)
        out[:, :, k] = moved[below]
        if len(between) == 2:
            out[:, :, k] += np.float32(weight) * (moved[above] - moved[below])
    affine = np.array(voxel_to_world, dtype=float)
    normal = affine[:3, 2] / np.linalg.norm(affine[:3, 2])
    affine[:3, 2] = normal * (span / (count - 1) if count > 1 else step)
    affine[:3, 3] += affine[:3, :2] @ first
    return out, affine


def _move(plane: np.ndarray, offset: np.ndarray, size: np.ndarray, background: np.float32) -> np.ndarray:
    """A slice `(column, row)` further on by an offset ≥ 0 in voxels, within a larger one."""
    whole = np.floor(offset + 1e-6).astype(int)
    part = np.where(np.abs(offset - whole) < 1e-6, 0.0, offset - whole).astype(np.float32)
    moved = np.full(size, background, dtype=np.float32)
    moved[whole[0] : whole[0] + plane.shape[0], whole[1] : whole[1] + plane.shape[1]] = plane
    for axis in (0, 1):
        if part[axis]:
            before = np.roll(moved, 1, axis)  # what comes round is background: size has room for one more
            moved = moved + part[axis] * (before - moved)
    return moved
