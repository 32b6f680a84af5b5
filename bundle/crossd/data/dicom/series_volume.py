"""The volume of a DICOM series as everything after it takes it: in its units, without padding, straight and even."""

from __future__ import annotations

import logging

import numpy as np

from crossd.data.dicom.pixels import read_pixels
from crossd.data.dicom.series import Series
from crossd.data.dicom.straightening import TILT, straighten
from crossd.data.dicom.values import without_padding
from crossd.errors import CrossDError, one_of

logger = logging.getLogger(__name__)


def read_series(series: Series, tilt: str = "correct") -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Voxels, where they lie, and what was done to them.

    Args:
        series: one of `find_series`.
        tilt: "correct" resamples the slices of a tilted gantry along their shear; "refuse" makes them an error.

    Returns:
        float32 `(column, row, slice)`, the affine to millimetres in RAS, and the warnings.

    Raises:
        CrossDError: pixels that do not decode, or a tilt that is refused.
    """
    check_tilt(series, tilt)
    voxels, notes = without_padding(read_pixels(series), series.padding)
    affine = np.array(series.voxel_to_world)
    if series.places:
        affine[:3, 2] = np.cross(affine[:3, 0], affine[:3, 1])  # slices are sorted that way
        voxels, affine = straighten(voxels, affine, series.places, series.step, series.folder)
    if series.tilt:
        logger.warning("%s: a gantry tilt of %.1f° was corrected by resampling along the shear", series, series.tilt)
    return voxels, affine, (*series.warnings, *notes)


def check_tilt(series: Series, tilt: str) -> None:
    """Refuse a tilted series where it is to be refused.

    Raises:
        CrossDError: naming the tilt.
    """
    one_of("tilt", tilt, TILT)
    if series.tilt and tilt == "refuse":
        raise CrossDError(
            f"Slices must be stacked along their normal where a tilt is refused: those of {series} are sheared by "
            f"{series.tilt:.1f}° (gantry tilt). Choose tilt 'correct' to have them resampled along the shear."
        )
