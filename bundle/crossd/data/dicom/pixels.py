"""The voxels of a DICOM series, without padding, straight and even: by ITK, or by pydicom for what ITK misreads."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from crossd.data.dicom.mosaics import tile
from crossd.data.dicom.series import Series
from crossd.data.dicom.straightening import TILT, straighten
from crossd.data.dicom.values import state_encoding, white, without_padding
from crossd.errors import CrossDError, one_of

_ITK_LOADED = "itk.ITKIOGDCMPython"
_SLICES_WHILE_ITK_LOADS = 600

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
    if series.reader == "itk" and _quicker_without_itk(series):
        try:
            return _checked(series, read_with_pydicom(series))
        except CrossDError:
            pass  # ITK may know better
    if series.reader == "itk":
        try:
            return _checked(series, read_with_itk(series))
        except (RuntimeError, TypeError):  # the latter for names that are not UTF-8
            pass  # no codec, or damaged: pydicom has further codecs and says which file it is
    return _checked(series, read_with_pydicom(series))


def _quicker_without_itk(series: Series) -> bool:
    """Whether reading takes less than loading ITK's modules would: 2 s, in which pydicom reads 600 plain slices."""
    if _ITK_LOADED in sys.modules or len(series.files) > _SLICES_WHILE_ITK_LOADS:
        return False
    import pydicom

    try:
        header = pydicom.dcmread(series.files[0], stop_before_pixels=True, specific_tags=[])
        return not header.file_meta.TransferSyntaxUID.is_compressed
    except Exception:  # each reader says it in its own way when it comes to the pixels
        return False


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
        voxels = _tiles(series, [voxels[files.index(file)] for file in series.files])
    return voxels.transpose(2, 1, 0)  # a copy in this order takes longer than reading, and the plane undoes it


def read_with_pydicom(series: Series) -> np.ndarray:
    """The same by pydicom, frames of a multi-frame object included; no other frames are decoded than the volume's."""
    import pydicom
    from pydicom.pixels import iter_pixels

    wanted: dict[str, dict[int, None]] = {}
    for index, path in enumerate(series.files):
        wanted.setdefault(path, {})[series.frames[index] if series.frames else 0] = None
    planes: dict[tuple[str, int], np.ndarray] = {}
    for path, frames in wanted.items():
        try:
            dataset = pydicom.dcmread(path, force=True)
            state_encoding(dataset)
            size = (-1, dataset.Rows, dataset.Columns)
            decoded = (
                iter_pixels(dataset, indices=list(frames)) if series.frames else [dataset.pixel_array.reshape(size)[0]]
            )
            for frame, stored in zip(frames, decoded, strict=True):
                plane = _rescaled(dataset, stored.reshape(size[1:]), frame)
                planes[path, frame] = np.float32(white(dataset)) - plane if series.inverted else plane
        except Exception as error:  # each decoder has exceptions of its own
            raise CrossDError(
                f"DICOM pixels must decode: those of '{path}' do not ({' '.join(str(error).split())}). "
                'Copy the file again; for a codec that is missing, `pip install "crossd[codecs]"`.'
            ) from error
    numbers = series.frames or (0,) * len(series.files)
    found = [planes[place] for place in zip(series.files, numbers, strict=True)]
    stacked = _tiles(series, found) if series.tiles else np.stack(found)
    return stacked.transpose(2, 1, 0)  # (slice, row, column) → (column, row, slice)


def _tiles(series: Series, planes: Sequence[np.ndarray]) -> np.ndarray:
    """`(slice, row, column)` of tiles, cut from the mosaic of each slice."""
    size = (series.shape[1], series.shape[0])
    return np.stack([tile(plane, number, size) for plane, number in zip(planes, series.tiles, strict=True)])


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
        raise CrossDError(
            f"Files must not change while a run reads them: by its headers {series} had {series.shape} voxels, and now "
            f"it has {voxels.shape}. Run again."
        )
    return voxels
