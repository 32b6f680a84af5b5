"""Images whose tiles are the slices of a volume: where each tile lies, for Siemens' mosaics and United Imaging's grids.

Tiles run along the rows, from the upper left; those after the last slice are black. Siemens: the ImagePositionPatient
(0020,0032) is that of an image of the mosaic's size around the first slice's centre
(https://nipy.org/nibabel/dicom/siemens_csa.html, "the mosaic header"). United Imaging states the place of each tile.
"""

from __future__ import annotations

import math
import threading
import warnings
from typing import Any, NamedTuple

import numpy as np

from crossd.data.dicom.values import finite, image_type
from crossd.errors import CrossDError

_SIEMENS, _COUNT = "SIEMENS MR HEADER", 0x0A  # (0019,xx0A) NumberOfImagesInMosaic
_UNITED, _FRAMES = "Image Private Header", 0x51  # (0065,xx51) MRVFrameSequence
MOSAIC_TAGS = (0x00190010, 0x0019100A)  # to know one by, whatever its ImageType says
_IMPORT = threading.Lock()  # headers are read in threads, and to silence a warning is not safe in them


class Mosaic(NamedTuple):
    """The size of a tile, and where each of them lies (ImagePositionPatient, in the order of tiles)."""

    rows: int
    columns: int
    positions: list[tuple[float, ...]]


def mosaic_of(path: str, dataset: Any) -> Mosaic | None:
    """The tiles of an image; None for one that is no mosaic. The file is read again for its private elements.

    Raises:
        CrossDError: a mosaic that does not say how many slices it has, or that has no room for them.
    """
    kinds = image_type(dataset)
    counted = _private(dataset, 0x0019, _SIEMENS, _COUNT)
    if "MOSAIC" not in kinds and "VFRAME" not in kinds and not counted:
        return None
    from pydicom import dcmread

    whole = dcmread(path, stop_before_pixels=True, force=True)
    if frames := _private(whole, 0x0065, _UNITED, _FRAMES):
        positions = [finite(path, "ImagePositionPatient (0020,0032)", item.ImagePositionPatient, 3) for item in frames]
        columns, rows = _tile(path, whole, len(positions), square=False)
        return Mosaic(rows, columns, positions)
    if "VFRAME" in kinds and "MOSAIC" not in kinds:  # a single slice is stored like any image
        return None
    count, normal = _siemens(whole)
    if not count:
        raise CrossDError(
            f"A mosaic must say how many slices it has: '{path}' lacks NumberOfImagesInMosaic (0019,xx0A) and a CSA "
            "header (0029,xx10), which anonymisation may have removed. Convert the original to NIfTI, with dcm2niix, "
            "say."
        )
    columns, rows = _tile(path, whole, count, square=True)
    directions = finite(path, "ImageOrientationPatient (0020,0037)", whole.get("ImageOrientationPatient") or [], 6)
    spacing = finite(path, "PixelSpacing (0028,0030)", whole.get("PixelSpacing") or [], 2, positive=True)
    first = np.array(finite(path, "ImagePositionPatient (0020,0032)", whole.get("ImagePositionPatient") or [], 3))
    first += np.array(directions[:3]) * spacing[1] * (whole.Columns - columns) / 2
    first += np.array(directions[3:]) * spacing[0] * (whole.Rows - rows) / 2
    step = float(whole.get("SpacingBetweenSlices") or whole.get("SliceThickness") or 0)
    if count > 1 and step <= 0:
        raise CrossDError(
            f"A mosaic must say how far its slices lie apart: '{path}' lacks SpacingBetweenSlices (0018,0088) and "
            "SliceThickness (0018,0050). Convert the original to NIfTI, with dcm2niix, say."
        )
    along = np.cross(directions[:3], directions[3:]) if normal is None else normal
    return Mosaic(rows, columns, [tuple(map(float, first + along * step * number)) for number in range(count)])


def _siemens(dataset: Any) -> tuple[int, np.ndarray | None]:
    """How many slices there are, and in which direction they follow one another, as far as private elements say it."""
    with _IMPORT, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "highly experimental": of the elements below it reads every public mosaic
        from nibabel.nicom import csareader
    try:
        csa = csareader.get_csa_header(dataset, "image") or {"tags": {}}
        count, normal = csareader.get_n_mosaic(csa), csareader.get_slice_normal(csa)
    except Exception:  # bytes that are no CSA header: the standard's elements remain
        count, normal = None, None
    stated = _private(dataset, 0x0019, _SIEMENS, _COUNT) or count or 0
    return int(stated), None if normal is None or not np.isfinite(normal).all() else np.asarray(normal, dtype=float)


def _tile(path: str, dataset: Any, count: int, square: bool) -> tuple[int, int]:
    """Columns and rows of a tile: as many stand beside one another as make a square, or as few rows as suffice."""
    across = math.ceil(math.sqrt(count))
    down = across if square else math.ceil(count / across)
    if dataset.Columns % across or dataset.Rows % down:
        raise CrossDError(
            f"The tiles of a mosaic must fill it: '{path}' has {dataset.Columns} × {dataset.Rows} pixels for {count} "
            f"slices, which makes {across} × {down} tiles. Convert the original to NIfTI, with dcm2niix, say."
        )
    return dataset.Columns // across, dataset.Rows // down


def _private(dataset: Any, group: int, creator: str, offset: int) -> Any:
    """The value of a private element of one maker (PS3.5, 7.8.1); None where there is none."""
    try:
        return dataset.private_block(group, creator)[offset].value
    except KeyError:
        return None


def tile(image: np.ndarray, number: int, size: tuple[int, int]) -> np.ndarray:
    """One tile of an image `(row, column)`, by its number from 0, of so many rows and columns.

    >>> tile(np.arange(16).reshape(4, 4), 2, (2, 2)).tolist()
    [[8, 9], [12, 13]]
    """
    row, column = divmod(number, image.shape[1] // size[1])
    return image[row * size[0] : (row + 1) * size[0], column * size[1] : (column + 1) * size[1]]
