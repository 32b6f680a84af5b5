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
_CHOSEN = re.compile(
    rf"(?P<path>.*(?:{'|'.join(map(re.escape, VOLUME_SUFFIXES))}))@(?P<volume>\d{{1,9}})", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class Volume:
    """Voxels in the order of their file, and where they lie.

    Attributes:
        voxels: float32, `(i, j, k)`.
        voxel_to_world: 4 × 4, voxel index to millimetres in RAS.
        has_affine: whether the file states where the voxels lie; spacing only, otherwise.
        warnings: what a user should know.
        modality: DICOM's Modality (0008,0060); empty where the file does not say it.
    """

    voxels: np.ndarray
    voxel_to_world: np.ndarray
    has_affine: bool = True
    warnings: tuple[str, ...] = ()
    modality: str = ""


def apart(one: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> float:
    """Millimetres between the places that two affines give a volume of this shape, at the corner where it is most.

    >>> apart(np.eye(4), np.diag([1.0, 1.0, 2.0, 1.0]), (4, 5, 6))
    5.0
    """
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in shape))])
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())


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

    Args:
        path: for messages.
        shape: all axes of the file; those of length 1 after the third do not count.
        volume: which one of a 4D file is meant; a 3D file has one, whatever is said here.

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
