"""One volume as read from a file, and the name of one volume in a file of several."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossd.errors import CrossDError

NIFTI_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz")  # .hdr: of a pair, whose voxels are in the .img beside it
TEXT_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, *TEXT_SUFFIXES)
_BODY = (2.0, 5000.0)  # mm: the longest side that a scan can have
_VOXEL = (0.05, 50.0)  # mm: the sides of its voxels, from dental CT to thick slices of a whole body
_FARTHEST = 1e6  # mm: scanners count from their own centre; beyond a kilometre float32 loses the voxels
_SLOPES = (1e-20, 1e20)
_CHOSEN = re.compile(
    rf"(?P<path>.*(?:{'|'.join(map(re.escape, VOLUME_SUFFIXES))}))@(?P<volume>\d{{1,9}})", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class Volume:
    """Voxels in the order of their file, and where they lie."""

    voxels: np.ndarray  # float32, (i, j, k)
    voxel_to_world: np.ndarray  # 4 × 4, voxel index to millimetres in RAS
    has_affine: bool = True  # whether the file states where the voxels lie; spacing only, otherwise
    warnings: tuple[str, ...] = ()  # what a user should know
    modality: str = ""  # DICOM's Modality (0008,0060); empty where the file does not say it


def apart(one: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> float:
    """Millimetres between the places that two affines give a volume of this shape, at the corner where it is most.

    >>> apart(np.eye(4), np.diag([1.0, 1.0, 2.0, 1.0]), (4, 5, 6))
    5.0
    """
    return float(np.linalg.norm(corners(one - other, shape), axis=1).max())


def corners(affine: np.ndarray, shape: Sequence[int], beyond: float = 0.0) -> np.ndarray:
    """Where an affine puts the centres of the eight voxels at the corners, or what is so far beyond them: `(8, 3)`."""
    ends = itertools.product(*((-beyond, size - 1 + beyond) for size in shape))
    return (np.array([(*corner, 1.0) for corner in ends]) @ affine.T)[:, :3]


def odd_size(voxel_to_world: np.ndarray, shape: Sequence[int]) -> list[str]:
    """What to say of a volume whose size in millimetres is hardly that of a scan: its spacing or unit may be wrong.

    >>> odd_size(np.diag([1.0, 0.02, 1.0, 1.0]), (24, 24, 24))[0]
    'The volume spans 24 × 0.48 × 24 mm, in voxels of 1 × 0.02 × 1 mm, which is odd for a scan: check its spacing, ...
    >>> odd_size(np.eye(4), (24, 24, 24))
    []
    """
    sides = np.linalg.norm(voxel_to_world[:3, :3], axis=0)
    spans = sides * shape
    if _BODY[0] <= spans.max() <= _BODY[1] and _VOXEL[0] <= sides.min() and sides.max() <= _VOXEL[1]:
        return []
    span, voxel = (" × ".join(f"{size:.4g}" for size in sizes) for sizes in (spans, sides))
    return [
        f"The volume spans {span} mm, in voxels of {voxel} mm, which is odd for a scan: check its spacing, and its "
        "unit (millimetres, where none is stated)."
    ]


def check_place(name: str, voxel_to_world: np.ndarray) -> None:
    """Refuse an affine that is not finite, gives several voxels one place, or puts them a kilometre away.

    >>> far = np.eye(4)
    >>> far[0, 3] = 1e30
    >>> check_place("a.nii", far)
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: A volume must lie where a scanner can reach: 'a.nii' begins at [1e+30, 0.0, 0.0] mm. ...
    """
    if not np.isfinite(voxel_to_world).all() or abs(np.linalg.det(voxel_to_world[:3, :3])) < 1e-9:
        raise CrossDError(
            f"An affine must map voxels to space one to one: that of '{name}' is "
            f"{voxel_to_world[:3].round(3).tolist()}. Correct the file's spacing, directions or origin (sform)."
        )
    if np.abs(voxel_to_world[:3, 3]).max() > _FARTHEST:
        raise CrossDError(
            f"A volume must lie where a scanner can reach: '{name}' begins at "
            f"{[float(place) for place in voxel_to_world[:3, 3]]} mm. Its header is damaged: copy the file again, or "
            "correct its origin or ImagePositionPatient (0020,0032)."
        )


def check_scale(name: str, slope: float, intercept: float) -> None:
    """Refuse a scale of no known quantity, or one that leaves no grey levels: in float32 neighbours would be one.

    >>> check_scale("a.nii", 1.0, 1e30)
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: A scale must keep grey levels apart: 'a.nii' has the slope 1 and the intercept 1e+30. ...
    """
    one, two = np.array([intercept, intercept + slope]).astype(np.float32)
    if not _SLOPES[0] <= abs(slope) <= _SLOPES[1] or not np.isfinite(two) or one == two:
        raise CrossDError(
            f"A scale must keep grey levels apart: '{name}' has the slope {slope:g} and the intercept {intercept:g}. "
            "Its header is damaged: copy the file again, or correct it."
        )


def split_volume(source: str | os.PathLike[str]) -> tuple[str, int | None]:
    """The file of a source, and which of its volumes is meant: `FILE@NUMBER`, counted from 0.

    >>> split_volume("bold.nii.gz@3"), split_volume("t1.nii.gz"), split_volume("me@home/t1.nii")
    (('bold.nii.gz', 3), ('t1.nii.gz', None), ('me@home/t1.nii', None))
    """
    found = _CHOSEN.fullmatch(str(source))
    return (found["path"], int(found["volume"])) if found else (str(source), None)


def header_of(path: str) -> str:
    """The .hdr of a pair where its .img is named; any other path as it is.

    >>> header_of("/nowhere/a.img")
    '/nowhere/a.img'
    """
    for image, header in ((".img", ".hdr"), (".img.gz", ".hdr.gz"), (".img.gz", ".hdr")):
        beside = path[: -len(image)] + header
        if path.lower().endswith(image) and os.path.isfile(beside):
            return beside
    return path


def choose_volume(path: str, shape: tuple[int, ...], volume: int | None) -> tuple[tuple[int, int, int], int]:
    """The three spatial sizes of a file, and the number of the volume to read.

    Axes of length 1 after the third do not count, and a 3D file has one volume, whatever number is said.

    Raises:
        CrossDError: fewer than three axes, several volumes of which none was chosen, or no such volume.

    >>> choose_volume("a.nii", (4, 5, 6, 1), None), choose_volume("a.nii", (4, 5, 6, 7), 2)
    (((4, 5, 6), 0), ((4, 5, 6), 2))
    """
    shape = tuple(int(size) for size in shape)
    remedy = "Write the volume that is meant as a file of its own, for instance with nibabel.four_to_three()."
    further = [size for size in shape[3:] if size != 1]
    if len(shape) < 3:
        remedy = "A single image is no volume: stack the slices, or use a 2D network."
    elif min(shape) < 1:
        remedy = "A volume without voxels cannot be used: write it again."
    elif not further:
        return (shape[0], shape[1], shape[2]), 0
    elif len(further) == 1:
        if volume is not None and 0 <= volume < further[0]:
            return (shape[0], shape[1], shape[2]), volume
        if volume is not None:
            raise CrossDError(
                f"A volume of a 4D file is chosen by its number, 0 to {further[0] - 1}: volume {volume} of '{path}' "
                "was asked for. Choose one of these."
            )
        remedy = (
            f"Choose one of its {further[0]} volumes, counted from 0: --volume 0 for every 4D file of a run, or "
            f"'{os.path.basename(path)}@0' in place of the path."
        )
    raise CrossDError(f"A volume has three axes: '{path}' has {len(shape)}, of sizes {shape}. {remedy}")
