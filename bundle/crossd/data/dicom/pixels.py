"""The voxels of a DICOM series, without padding, straight and even: by pydicom, or ITK where it has no codec."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from crossd.data.decoder import decode
from crossd.data.dicom.mosaics import tile
from crossd.data.dicom.series import Series
from crossd.data.dicom.straightening import TILT, straighten
from crossd.data.dicom.values import state_encoding, white, without_padding
from crossd.errors import CrossDError, one_of

_PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")  # PS3.5, A
_COPIES = 5  # of the voxels, that readers make

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
    voxels, notes = without_padding(read_pixels(series), series.padding, series.lossy)
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


def read_pixels(series: Series) -> np.ndarray:
    """Voxels in the units of the modality: stored values × RescaleSlope (0028,1053) + RescaleIntercept (0028,1052).

    Of MONOCHROME1, Hounsfield units and other rescaled values stay what they are; grey values without a rescale, which
    only the display defines, are inverted within BitsStored (0028,0101).

    Returns:
        float32, `(column index, row index, slice)`: a view of what is stored, so the column index runs fastest.

    Raises:
        CrossDError: a file whose pixels do not decode, or whose size is not that of the series.
    """
    try:
        return _checked(series, read_with_pydicom(series, encoded=False))
    except _Encoded:
        pass
    except CrossDError:
        if series.reader != "itk":
            raise
    room = 4 * series.shape[0] * series.shape[1] * series.shape[2] * _COPIES
    voxels = decode("dicom.pixels:decoded", series.files, room, series=asdict(series))
    return _checked(series, voxels.transpose(2, 1, 0))


class _Encoded(Exception):
    """Pixels that a codec has to decode."""


def decoded(series: dict[str, Any], allocate: Callable[..., np.ndarray]) -> np.ndarray:
    """Voxels `(slice, row, column)` of a series, as `read_pixels` has them: by pydicom's codecs, else by ITK's.

    To be called by `crossd.data.decoder`, since codecs are native code.

    Args:
        series: the fields of a `Series`.
        allocate: as `numpy.empty`.

    Raises:
        CrossDError: pixels that do not decode; the message is pydicom's, which says which file it is.
    """
    whole = Series(**series)
    try:
        return read_with_pydicom(whole, allocate).transpose(2, 1, 0)
    except CrossDError:
        if whole.reader != "itk":
            raise
        try:
            return read_with_itk(whole).transpose(2, 1, 0)
        except (RuntimeError, TypeError):  # the latter for names that are not UTF-8
            pass
        raise


def read_with_itk(series: Series) -> np.ndarray:
    """The same by ITK's GDCM; single-frame files only."""
    import itk

    files = list(dict.fromkeys(series.files))  # one or more, and the slices of a mosaic are in one
    reader = itk.ImageSeriesReader[itk.Image[itk.F, 3]].New(FileNames=files)
    reader.SetImageIO(itk.GDCMImageIO.New())
    reader.MetaDataDictionaryArrayUpdateOff()
    shown = reader.GetGlobalWarningDisplay()
    reader.SetGlobalWarningDisplay(False)  # uneven spacing is reported by `crossd.data.dicom.series`
    try:
        reader.Update()
    finally:
        reader.SetGlobalWarningDisplay(shown)
    voxels = itk.array_from_image(reader.GetOutput())  # (slice, row, column)
    if series.tiles:
        slices = [_slice(series, voxels[files.index(file)], index) for index, file in enumerate(series.files)]
        voxels = np.stack(slices)
    return voxels.transpose(2, 1, 0)  # a copy in this order takes longer than reading, and the plane undoes it


def read_with_pydicom(
    series: Series, allocate: Callable[..., np.ndarray] = np.empty, encoded: bool = True
) -> np.ndarray:
    """The same by pydicom, frames of a multi-frame object included; no other frames are decoded than the volume's.

    Args:
        series: one of `find_series`.
        allocate: what makes room for the voxels.
        encoded: whether to run codecs, too; `_Encoded` is raised where it takes one and they are not to be run.
    """
    import pydicom
    from pydicom.pixels import iter_pixels

    wanted: dict[str, dict[int, None]] = {}
    for index, path in enumerate(series.files):
        wanted.setdefault(path, {})[series.frames[index] if series.frames else 0] = None
    voxels = allocate(series.shape[::-1], np.float32)
    numbers = series.frames or (0,) * len(series.files)
    places: dict[tuple[str, int], list[int]] = {}  # several in a mosaic
    for index, place in enumerate(zip(series.files, numbers, strict=True)):
        places.setdefault(place, []).append(index)
    for path, frames in wanted.items():
        try:
            dataset = pydicom.dcmread(path, force=True)
            if not encoded and dataset.file_meta.get("TransferSyntaxUID", _PLAIN[0]) not in _PLAIN:
                raise _Encoded
            state_encoding(dataset)
            size = (-1, dataset.Rows, dataset.Columns)
            decoded = (
                iter_pixels(dataset, indices=list(frames)) if series.frames else [dataset.pixel_array.reshape(size)[0]]
            )
            for frame, stored in zip(frames, decoded, strict=True):
                plane = _rescaled(dataset, stored.reshape(size[1:]), frame)
                plane = np.float32(white(dataset)) - plane if series.inverted else plane
                for index in places[path, frame]:
                    voxels[index] = _slice(series, plane, index)
        except (_Encoded, CrossDError):
            raise
        except Exception as error:  # each decoder has exceptions of its own
            raise CrossDError(
                f"DICOM pixels must decode: those of '{path}' do not ({' '.join(str(error).split())}). "
                'Copy the file again; for a codec that is missing, `pip install "crossd[codecs]"`.'
            ) from error
    return voxels.transpose(2, 1, 0)  # (slice, row, column) → (column, row, slice)


def _slice(series: Series, plane: np.ndarray, index: int) -> np.ndarray:
    """`(row, column)` of one slice: what a file or frame holds, or its tile of the mosaic there."""
    size = (series.shape[1], series.shape[0])
    if series.tiles:
        return tile(plane, series.tiles[index], size)
    if plane.shape != size:
        raise _changed(series, (*plane.shape[::-1], series.shape[2]))
    return plane


def _rescaled(dataset: Any, plane: np.ndarray, frame: int) -> np.ndarray:
    """Modality values of one frame; a multi-frame object states its slope per frame (PS3.3, C.7.6.16.2.9)."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    if dataset.PhotometricInterpretation == "PALETTE COLOR":  # a grey one: its colours are equal
        return apply_color_lut(plane, dataset)[..., 0].astype(np.float32)
    groups = [
        *list(dataset.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1],
        *list(dataset.get("SharedFunctionalGroupsSequence") or []),
    ]
    for group in groups:
        if transformation := group.get("PixelValueTransformationSequence"):
            slope, intercept = float(transformation[0].RescaleSlope), float(transformation[0].RescaleIntercept)
            return (plane * slope + intercept).astype(np.float32)
    return apply_modality_lut(plane, dataset).astype(np.float32)


def _checked(series: Series, voxels: np.ndarray) -> np.ndarray:
    if voxels.shape != series.shape:
        raise _changed(series, voxels.shape)
    return voxels


def _changed(series: Series, shape: tuple[int, ...]) -> CrossDError:
    return CrossDError(
        f"Files must not change while a run reads them: by its headers {series} had {series.shape} voxels, and now "
        f"it has {shape}. Run again."
    )
