"""A DICOM series as one volume: its slices sorted by position, checked, and placed in the patient."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossd.data.dicom.non_scans import Label
from crossd.data.dicom.slices import SPACING_TOLERANCE, Slice, count_duplicates, slice_distances, uneven, usual_gap
from crossd.data.dicom.straightening import check_neighbours, places_off_first
from crossd.errors import CrossDError

# A gap is filled from its two sides; one as wide as this many slices is the space between two volumes.
_LARGEST_GAP = 10
# Rounded cosines tilt a stack by less than 0.1°; gantries are tilted in steps of 0.5°.
_TILT_TOLERANCE = 0.3
_SCALED_BY_SLICE = ("PT", "NM")  # modalities that use the range of integers anew in every slice
_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Series:
    """One volume of DICOM slices, ready to be read. Picklable and hashable, so that it can travel in a MONAI item.

    `voxel_to_world` (4 × 4) leads from (column index, row index, slice) to millimetres in RAS; its slice axis runs from
    the first slice to the last.
    """

    files: tuple[str, ...]  # one path per slice, sorted by position along the slice normal
    uid: str  # SeriesInstanceUID (0020,000E)
    description: str  # SeriesDescription (0008,103E)
    modality: str  # Modality (0008,0060)
    warnings: tuple[str, ...]  # what a user should know about the geometry
    frames: tuple[int, ...] = ()  # number of the frame in its file per slice; empty for single-frame files
    number: int = 0  # SeriesNumber (0020,0011)
    split: str = ""  # which part this is when the series holds several volumes ("EchoTime 4.92")
    shape: tuple[int, int, int] = (0, 0, 0)  # voxels along (column index, row index, slice)
    voxel_to_world: tuple[tuple[float, ...], ...] = ()
    tilt: float = 0.0  # degrees between the slice axis and the normal of the slices; 0 within the tolerance
    places: tuple[tuple[float, float, float], ...] = ()  # of `places_off_first`; none where the affine says it all
    step: float = 1.0  # millimetres along the normal from one slice to the next, usually
    padding: tuple[tuple[float, float] | None, ...] = ()  # per slice, smallest and largest value; empty without any
    inverted: bool = False  # large values are dark, and nothing but the display defines them (MONOCHROME1, no rescale)
    tiles: tuple[int, ...] = ()  # number of the tile in its mosaic per slice; empty for other files
    lossy: bool = False  # compression changed values, those of padding too

    @property
    def label(self) -> Label:
        """What it is called."""
        return Label(self.uid, self.modality, self.description, self.number)

    @property
    def folder(self) -> str:
        """The folder of the files; the file itself where there is one only."""
        if len(set(self.files)) == 1:
            return self.files[0]
        return os.path.commonpath([os.path.dirname(file) for file in self.files])

    def __str__(self) -> str:
        parts = (f"series {self.number}", self.description, self.modality, self.split, f"{self.shape[2]} slices")
        return ", ".join(part for part in parts if part)


def stack(slices: Sequence[Slice], split: str = "", notes: Sequence[str] = ()) -> Series:
    """Sort slices of one orientation and matrix into a volume and check how they lie.

    What cannot be seen from headers: a slice missing at either end.

    Args:
        slices: in any order, no two at one position.
        split: which part of its series this is.
        notes: warnings found before.

    Raises:
        CrossDError: several slices at one position, slices beside one another, or row and column directions that are
            not perpendicular.
    """
    first = slices[0]
    if duplicates := count_duplicates(slices):
        raise CrossDError(
            f"A series must have one slice per position: {_name(first)} has {duplicates} of {len(slices)} slices where "
            "another one lies already, and no echo, time, b-value or acquisition tells them apart. "
            "Put each volume into its own folder, or convert the right one to NIfTI."
        )
    rows, columns = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    if abs(rows @ columns) > 1e-3 or not np.allclose([rows @ rows, columns @ columns], 1, atol=1e-3):
        raise CrossDError(
            f"ImageOrientationPatient (0020,0037) must hold two perpendicular unit vectors: {_name(first)} has "
            f"{list(first.orientation)}. Correct the header, or convert the series to NIfTI."
        )
    distances = slice_distances(slices)
    order = sorted(range(len(slices)), key=lambda index: float(distances[index]))
    slices, distances = [slices[index] for index in order], distances[order]
    notes = [*notes]
    step, usual = _step(slices, distances, notes)
    tilt, moved = _shear(slices, distances, step, notes)
    even = usual is None and not moved
    places = places_off_first([item.position for item in slices], first.orientation, first.spacing)
    check_neighbours(places, (first.columns, first.rows), _name(first))
    gap = usual or (float(np.diff(distances).mean()) if len(slices) > 1 else float(np.linalg.norm(step)))
    if len(slices) > 1 and first.slab > (1 + SPACING_TOLERANCE) * gap:
        thick = f"each is {first.slab:g} mm thick (SliceThickness)"
        notes.append(f"Slices overlap: {thick}, and they lie {gap:.2f} mm apart.")
    voxel_to_lps = np.eye(4)
    voxel_to_lps[:3, 0] = rows * first.spacing[1]  # along a row the column index grows
    voxel_to_lps[:3, 1] = columns * first.spacing[0]
    voxel_to_lps[:3, 2] = step
    voxel_to_lps[:3, 3] = slices[0].position
    notes += _disagreements(slices)
    if first.photometric == "MONOCHROME1":
        notes.append(
            "PhotometricInterpretation is MONOCHROME1 without a rescale: grey values are inverted, so that large ones "
            "are bright."
            if first.inverted
            else "PhotometricInterpretation is MONOCHROME1: rescaled values are kept, though large ones are shown dark."
        )
    return Series(
        files=tuple(item.path for item in slices),
        frames=() if first.frame is None else tuple(item.frame or 0 for item in slices),
        **first.label._asdict(),
        split=split,
        shape=(first.columns, first.rows, len(slices)),
        voxel_to_world=tuple(tuple(map(float, row)) for row in _RAS_FROM_LPS @ voxel_to_lps),
        warnings=tuple(notes),
        tilt=tilt,
        places=() if even else places,
        step=gap,
        padding=tuple(item.padding for item in slices) if any(item.padding for item in slices) else (),
        inverted=first.inverted,
        tiles=() if first.tile is None else tuple(item.tile or 0 for item in slices),
        lossy=any(item.lossy for item in slices),
    )


def _step(slices: Sequence[Slice], distances: np.ndarray, notes: list[str]) -> tuple[np.ndarray, float | None]:
    """The mean vector from one slice to the next, and the usual gap where gaps differ; notes take what to say of it."""
    normal = slices[0].normal
    if len(slices) == 1:
        if not slices[0].thickness:
            notes.append("The only slice states no thickness (0018,0050): 1 mm is assumed.")
        notes.append("The series has one slice only.")
        return normal * (slices[0].thickness or 1.0), None
    step = (np.array(slices[-1].position) - np.array(slices[0].position)) / (len(slices) - 1)
    gaps = np.diff(distances)
    usual, odd = usual_gap(gaps), uneven(gaps)
    if not len(odd):
        return step, None
    if gaps.max() > _LARGEST_GAP * usual:
        raise CrossDError(
            f"Slices of a volume must be neighbours: {_name(slices[0])} has a gap of {gaps.max():.4g} mm after slice "
            f"{int(gaps.argmax()) + 1} of {len(slices)}, where {usual:.2f} mm is usual. "
            "Put its parts into folders as series of their own, or correct ImagePositionPatient (0020,0032)."
        )
    in_steps = gaps[odd] / usual
    whole = np.abs(in_steps - in_steps.round()) <= SPACING_TOLERANCE  # another spacing is no missing slice
    missing = int(np.maximum(in_steps.round() - 1, 0)[whole].sum())
    notes.append(
        f"Slices are not evenly spaced: gaps of {gaps.min():.2f} to {gaps.max():.2f} mm, usually {usual:.2f} mm, "
        f"first after slice {odd[0] + 1} of {len(slices)} (tolerance {SPACING_TOLERANCE:.0%})"
        + (f"; probably {missing} missing" if missing else "")
        + f". The volume is interpolated between them, every {usual:.2f} mm."
    )
    return step, usual


def _shear(slices: Sequence[Slice], distances: np.ndarray, step: np.ndarray, notes: list[str]) -> tuple[float, bool]:
    """The tilt in degrees, and whether slices have to be moved in their planes; notes take what to say of it."""
    normal = slices[0].normal
    if len(slices) == 1:
        return 0.0, False
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    positions = np.array([item.position for item in slices])
    if sheared := tilt > _TILT_TOLERANCE:
        aside = np.linalg.norm(positions[-1] - positions[0] - (distances[-1] - distances[0]) * normal)
        notes.append(
            f"Slices are sheared by {tilt:.1f}° (gantry tilt): they are moved within their planes, by up to "
            f"{aside:.1f} mm, so that the volume is straight (resampled along the shear)."
        )
    share = (distances - distances[0]) / (distances[-1] - distances[0])
    off_line = positions - positions[0] - share[:, None] * (positions[-1] - positions[0])
    displaced = float(np.linalg.norm(off_line, axis=1).max())
    if astray := displaced > 0.5 * min(slices[0].spacing):
        notes.append(
            f"Slices do not lie on one line: they are displaced in their plane by up to {displaced:.1f} mm, and moved "
            "to where they lie."
        )
    return tilt if sheared else 0.0, sheared or astray


def _disagreements(slices: Sequence[Slice]) -> list[str]:
    """What headers state twice, and scales that differ among the slices of what is measured on one scale."""
    counts = Counter(note for item in slices for note in dict.fromkeys(item.notes))
    told = [note if count == len(slices) else f"Of {count} slices: {note}" for note, count in counts.items()]
    scales = Counter(item.rescale for item in slices)
    if len(scales) > 1 and slices[0].label.modality not in _SCALED_BY_SLICE:
        (slope, intercept), count = scales.most_common(1)[0]
        odd = next(item.rescale for item in slices if item.rescale != (slope, intercept))
        told.append(
            f"Slices differ in RescaleSlope and RescaleIntercept: {count} of {len(slices)} have {slope:g} and "
            f"{intercept:g}, another one {odd[0]:g} and {odd[1]:g}. Each is used as it is."
        )
    return told


def _name(item: Slice) -> str:
    return f"series {item.label.number} '{item.label.description}' ({item.label.uid})"
