"""The slices that volumes are made of, and how they lie along their normal: at one place, evenly, or with gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossd.data.dicom.non_scans import Label

# Two slices nearer than this fraction of a pixel are at one position: decimal strings round to far less.
SAME_POSITION = 0.01
# Positions exported with one decimal vary by 0.1 mm, a fifth of the thinnest usual slices; a missing slice adds 100 %.
SPACING_TOLERANCE = 0.2


@dataclass(frozen=True)
class Slice:
    """One 2D image of a DICOM file. Positions and directions are DICOM's: millimetres to left, posterior, superior."""

    path: str
    frame: int | None  # of a multi-frame object, from 0
    label: Label  # of its series
    instance_uid: str
    patient_id: str
    instance_number: int
    photometric: str
    rows: int
    columns: int
    orientation: tuple[float, ...]  # ImageOrientationPatient (0020,0037): cosines of a row, then of a column
    position: tuple[float, ...]  # ImagePositionPatient (0020,0032): centre of the first voxel
    spacing: tuple[float, ...]  # PixelSpacing (0028,0030): between rows, between columns
    thickness: float  # distance to the next slice as far as the header knows it, else 0
    traits: tuple[tuple[str, str], ...]  # name and value of what may tell apart slices at one position
    kind: str = ""  # what it is if it is no scan ("images of localizers")
    known_by: str = ""  # and by what
    padding: tuple[float, float] | None = None  # smallest and largest value of it, once the pixels are read
    inverted: bool = False  # MONOCHROME1 without a rescale: grey values that only the display defines, large ones dark
    slab: float = 0.0  # SliceThickness (0018,0050), in millimetres; 0 if it is not stated
    tile: int | None = None  # number of the tile in a mosaic, from 0
    lossy: bool = False  # compression changed values, those of padding too
    rescale: tuple[float, float] = (1.0, 0.0)  # slope and intercept
    notes: tuple[str, ...] = ()  # what the header states twice and differently

    @property
    def normal(self) -> np.ndarray:
        """Row direction × column direction (PS3.3, C.7.6.2.1.1); for axial slices it points to the head."""
        return np.cross(self.orientation[:3], self.orientation[3:])


def slice_distances(slices: Sequence[Slice]) -> np.ndarray:
    """Position of each slice along the common normal, in millimetres."""
    return np.array([item.position for item in slices]) @ slices[0].normal


def by_position(slices: Sequence[Slice]) -> list[list[Slice]]:
    """The slices that lie at each position, the positions in order; what lies at one of them stays in its order."""
    distances = slice_distances(slices)
    order = np.argsort(distances, kind="stable")
    apart = np.diff(distances[order]) >= SAME_POSITION * min(slices[0].spacing)
    groups = np.split(order, np.flatnonzero(apart) + 1)
    return [[slices[index] for index in sorted(group)] for group in groups]


def count_duplicates(slices: Sequence[Slice]) -> int:
    """How many slices lie at the position of another one."""
    distances = np.sort(slice_distances(slices))
    return int((np.diff(distances) < SAME_POSITION * min(slices[0].spacing)).sum())


def is_even(slices: Sequence[Slice]) -> bool:
    """Whether the distances between neighbours are equal within the tolerance."""
    return not len(uneven(np.diff(np.sort(slice_distances(slices)))))


def uneven(gaps: np.ndarray) -> np.ndarray:
    """Numbers of the gaps that differ from the usual one."""
    usual = usual_gap(gaps)
    return np.flatnonzero(np.abs(gaps - usual) > SPACING_TOLERANCE * usual + 1e-6)


def usual_gap(gaps: np.ndarray) -> float:
    """The median; of an even number of gaps the smaller of the two in the middle, so that a gap is not the rule.

    >>> usual_gap(np.array([3.0, 3.0, 6.0, 6.0]))
    3.0
    """
    return float(np.percentile(gaps, 50, method="lower")) if len(gaps) else 0.0
