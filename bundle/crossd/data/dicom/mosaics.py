"""Images whose tiles are the slices of a volume: where each tile lies, for Siemens' mosaics and United Imaging's grids.

Tiles run along the rows, from the upper left; those after the last slice are black. Siemens: the ImagePositionPatient
(0020,0032) is that of an image of the mosaic's size around the first slice's centre
(https://nipy.org/nibabel/dicom/siemens_csa.html, "the mosaic header"). United Imaging states the place of each tile.
"""

from __future__ import annotations

import math
import threading
import warnings
from typing import Any

import numpy as np

from crossd.data.dicom.values import finite, image_type, private
from crossd.errors import CrossDError

_SIEMENS, _COUNT = "SIEMENS MR HEADER", 0x0A  # (0019,xx0A) NumberOfImagesInMosaic
_UNITED, _FRAMES = "Image Private Header", 0x51  # (0065,xx51) MRVFrameSequence
_IMPORT = threading.Lock()  # headers are read in threads, and to silence a warning is not safe in them


def mosaic_of(path: str, dataset: Any) -> tuple[int, int, list[tuple[float, ...]]] | None:
    """Rows and columns of a tile, and where each tile of an image lies, in their order; None if it is no mosaic.

    Raises:
        CrossDError: a mosaic that does not say how many slices it has, or that has no room for them.
    """
    kinds = image_type(dataset)
    counted = private(dataset, 0x0019, _SIEMENS, _COUNT)  # whatever its ImageType says
    if "MOSAIC" not in kinds and "VFRAME" not in kinds and not counted:
        return None
    if frames := private(dataset, 0x0065, _UNITED, _FRAMES):
        positions = [finite(path, "ImagePositionPatient (0020,0032)", item.ImagePositionPatient, 3) for item in frames]
        columns, rows = _tile(path, dataset, len(positions), square=False)
        return rows, columns, positions
    if "VFRAME" in kinds and "MOSAIC" not in kinds:  # a single slice is stored like any image
        return None
    count, normal = _siemens(dataset)
    if not count:
        raise CrossDError(
            f"A mosaic must say how many slices it has: '{path}' lacks NumberOfImagesInMosaic (0019,xx0A) and a CSA "
            "header (0029,xx10), which anonymisation may have removed. Convert the original to NIfTI, with dcm2niix, "
            "say."
        )
    columns, rows = _tile(path, dataset, count, square=True)
    directions = finite(path, "ImageOrientationPatient (0020,0037)", dataset.get("ImageOrientationPatient") or [], 6)
    spacing = finite(path, "PixelSpacing (0028,0030)", dataset.get("PixelSpacing") or [], 2, positive=True)
    first = np.array(finite(path, "ImagePositionPatient (0020,0032)", dataset.get("ImagePositionPatient") or [], 3))
    first += np.array(directions[:3]) * spacing[1] * (dataset.Columns - columns) / 2
    first += np.array(directions[3:]) * spacing[0] * (dataset.Rows - rows) / 2
    step = float(dataset.get("SpacingBetweenSlices") or dataset.get("SliceThickness") or 0)
    if count > 1 and step <= 0:
        raise CrossDError(
            f"A mosaic must say how far its slices lie apart: '{path}' lacks SpacingBetweenSlices (0018,0088) and "
            "SliceThickness (0018,0050). Convert the original to NIfTI, with dcm2niix, say."
        )
    along = np.cross(directions[:3], directions[3:]) if normal is None else normal
    return rows, columns, [tuple(map(float, first + along * step * number)) for number in range(count)]


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
    stated = private(dataset, 0x0019, _SIEMENS, _COUNT) or count or 0
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


def tile(image: np.ndarray, number: int, size: tuple[int, int]) -> np.ndarray:
    """One tile of an image `(row, column)`, by its number from 0, of so many rows and columns.

    >>> tile(np.arange(16).reshape(4, 4), 2, (2, 2)).tolist()
    [[8, 9], [12, 13]]
    """
    row, column = divmod(number, image.shape[1] // size[1])
    return image[row * size[0] : (row + 1) * size[0], column * size[1] : (column + 1) * size[1]]
