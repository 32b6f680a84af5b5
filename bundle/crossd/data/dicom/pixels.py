"""The voxels of a DICOM series, without padding, straight and even: all that comes after codecs."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import numpy as np

from crossd.data.decoder import decode
from crossd.data.dicom.mosaics import tile
from crossd.data.dicom.series import Series
from crossd.data.dicom.stored import stored_frames, undecodable
from crossd.data.dicom.straightening import TILT, straighten
from crossd.data.dicom.values import rescale, state_encoding, white, without_padding
from crossd.errors import CrossDError, one_of

_COPIES = 5  # of the voxels, that codecs make

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
    told: list[str] = []
    voxels, notes = without_padding(read_pixels(series, told), series.padding, series.lossy)
    affine = np.array(series.voxel_to_world)
    if series.places:
        affine[:3, 2] = np.cross(affine[:3, 0], affine[:3, 1])  # slices are sorted that way
        voxels, affine = straighten(voxels, affine, series.places, series.step, series.folder)
    if series.tilt:
        logger.warning("%s: a gantry tilt of %.1f° was corrected by resampling along the shear", series, series.tilt)
    return voxels, affine, (*series.warnings, *told, *notes)


def check_tilt(series: Series, tilt: str) -> None:
    """Refuse a tilted series where it is to be refused, by a `CrossDError` that names the tilt."""
    one_of("tilt", tilt, TILT)
    if series.tilt and tilt == "refuse":
        raise CrossDError(
            f"Slices must be stacked along their normal where a tilt is refused: those of {series} are sheared by "
            f"{series.tilt:.1f}° (gantry tilt). Choose tilt 'correct' to have them resampled along the shear."
        )


def read_pixels(series: Series, notes: list[str] | None = None) -> np.ndarray:
    """Voxels in the units of the modality: stored values × RescaleSlope (0028,1053) + RescaleIntercept (0028,1052).

    Of MONOCHROME1, Hounsfield units and other rescaled values stay what they are; grey values without a rescale, which
    only the display defines, are inverted within BitsStored (0028,0101). Whoever decodes, what comes after is done
    here, so that no value depends on what was read or loaded before.

    Returns:
        float32, `(column index, row index, slice)`: a view of what is stored, so the column index runs fastest. `notes`
        takes what pixels show that no header says.

    Raises:
        CrossDError: a file whose pixels do not decode, or whose size is not that of the series.
    """
    try:
        return _voxels(series, notes)
    except _Encoded:
        room = 4 * series.shape[0] * series.shape[1] * series.shape[2] * _COPIES
        return _voxels(series, notes, decode("dicom.stored:decoded", series.files, room, frames=list(_frames(series))))


class _Encoded(Exception):
    """Pixels that a codec has to decode first."""


def _frames(series: Series) -> dict[tuple[str, int], list[int]]:
    """Path and number of each frame that is needed, and the slices in it: one, or the tiles of a mosaic."""
    found: dict[tuple[str, int], list[int]] = {}
    for index, path in enumerate(series.files):
        found.setdefault((path, series.frames[index] if series.frames else 0), []).append(index)
    return found


def _voxels(series: Series, notes: list[str] | None, decoded: np.ndarray | None = None) -> np.ndarray:
    """Those of `read_pixels`; without stored values `(frame, row, column)`, `_Encoded` is raised for compressed files.

    No other frames of a multi-frame object are looked at than the volume's.
    """
    import pydicom

    voxels = np.empty(series.shape[::-1], dtype=np.float32)  # (slice, row, column)
    told: Counter[str] = Counter()
    needed = _frames(series)
    by_file: dict[str, list[int]] = {}
    for path, frame in needed:
        by_file.setdefault(path, []).append(frame)
    planes = {} if decoded is None else dict(zip(needed, decoded, strict=True))
    for path, frames in by_file.items():
        try:
            dataset = pydicom.dcmread(path, force=True)
            state_encoding(dataset)
            if decoded is None and dataset.file_meta.TransferSyntaxUID.is_encapsulated:
                raise _Encoded
            known = None if decoded is None else [planes[path, frame] for frame in frames]
            for frame, (stored, odd) in zip(frames, stored_frames(dataset, frames, known), strict=True):
                told.update(odd)
                for index in needed[path, frame]:
                    _rescale(path, dataset, _slice(series, stored, index), frame, voxels[index])
                    if series.inverted:
                        np.subtract(np.float32(white(dataset)), voxels[index], out=voxels[index])
        except (_Encoded, CrossDError):
            raise
        except Exception as error:  # each decoder has exceptions of its own
            raise undecodable(path, error) from error
    if notes is not None:
        notes += [f"{note} ({number} of {len(needed)} images)." for note, number in told.items()]
    return voxels.transpose(2, 1, 0)  # (slice, row, column) → (column, row, slice)


def _slice(series: Series, plane: np.ndarray, index: int) -> np.ndarray:
    """`(row, column)` of one slice: what a file or frame holds, or its tile of the mosaic there."""
    size = (series.shape[1], series.shape[0])
    if series.tiles:
        return tile(plane, series.tiles[index], size)
    if plane.shape != size:
        raise CrossDError(
            f"Files must not change while a run reads them: by its headers {series} had {series.shape} voxels, and now "
            f"it has {(*plane.shape[::-1], series.shape[2])}. Run again."
        )
    return plane


def _rescale(path: str, dataset: Any, stored: np.ndarray, frame: int, plane: np.ndarray) -> None:
    """Fill in modality values of a frame; a multi-frame object states a slope for each (PS3.3, C.7.6.16.2.9)."""
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":  # a grey one: its colours are equal
        from pydicom.pixels import apply_color_lut

        plane[:] = apply_color_lut(stored, dataset)[..., 0]
        return
    if dataset.get("ModalityLUTSequence"):
        from pydicom.pixels import apply_modality_lut

        plane[:] = apply_modality_lut(stored, dataset)
        return
    groups = [
        *list(dataset.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1],
        *list(dataset.get("SharedFunctionalGroupsSequence") or []),
    ]
    slope, intercept, _ = rescale(path, dataset, groups)
    if slope == 1 and np.float32(intercept) == intercept and stored.dtype.itemsize <= 2:  # exact, in half the time
        np.add(stored, np.float32(intercept), out=plane)
    else:
        plane[:] = stored * slope + intercept
