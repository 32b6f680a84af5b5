"""NIfTI and Analyze files: a volume with its place in millimetres, units and scale, read as it is said, or written.

NIfTI-1 is described in https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h; field names below are from there.
"""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossd.data.declared_sizes import DEFLATE_AT_MOST, TAIL, check_declared, check_voxels, goes_on, too_many
from crossd.data.nifti_place import place
from crossd.data.text_headers import file_beside
from crossd.data.volume import Volume, check_scale, choose_volume
from crossd.errors import CrossDError

_LARGEST_HEADER = 2**26  # vox_offset; extensions are text of some kilobytes
_HARMLESS = ("vox offset", "very large origin")


def read_nifti(path: str, volume: int | None = None) -> Volume:
    """Read .nii, .nii.gz, or a pair by its .hdr, with scale slopes applied.

    The affine is the sform where there is one, as in nibabel, else the qform, in millimetres whatever the file's unit.
    What the file says twice and differently is told; an sform of 1 mm a voxel, which programs write without knowing the
    spacing, takes that of pixdim. `volume` is the one of a 4D file, from 0.

    Raises:
        CrossDError: colour, complex values, 2D, 4D without a choice, a scale that leaves no grey levels, or more voxels
            than the file can hold; nibabel, gzip and zlib raise what they raise for damaged files.
    """
    import nibabel

    block = _checked_header(path)
    image: Any = nibabel.load(path)
    if not isinstance(image, nibabel.AnalyzeImage):  # NIfTI's classes are made from it
        kind = type(image).__name__.removesuffix("Image")
        raise CrossDError(
            f"A volume has a grid of voxels: '{path}' is a {kind} file, which has not. Map it to a volume first."
        )
    stored: Any = image.dataobj
    dtype = image.header.get_data_dtype()
    _check_values(path, dtype)
    shape, number = choose_volume(path, image.shape, volume)
    check_voxels(path, shape)
    data = str(image.file_map["image"].filename)
    if not os.path.isfile(data):
        raise CrossDError(f"A pair needs both files: '{path}' is there and '{data}' is not. Copy it too.")
    if data != path:
        file_beside(path, os.path.basename(data))
    voxel_to_world, has_affine, warnings = place(image, shape)
    warnings += _corrected(image.header, block)
    start, warnings = _start(image, warnings)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    end = start + int(np.prod(image.shape, dtype=object)) * dtype.itemsize
    packed = data.lower().endswith(".gz")
    check_declared(path, [data], end, DEFLATE_AT_MOST if packed else 1)
    if stored.slope is not None and dtype.kind in "iu":
        check_scale(path, float(stored.slope), float(stored.inter))
    spec = (shape, dtype, start + number * size, stored.slope, stored.inter)
    if packed:
        voxels, surplus = _whole_gzip(data, spec, end)
    else:  # not mapped: a file that shrinks while it is mapped ends the process
        voxels = np.asarray(nibabel.arrayproxy.ArrayProxy(data, spec, mmap=False), dtype=np.float32)
        surplus = os.path.getsize(data) - end
    return Volume(voxels, voxel_to_world, has_affine, (*warnings, *too_many(surplus)))


def _checked_header(path: str) -> bytes:
    """The first bytes; refuse a vox_offset that only damage explains: nibabel reads all before it into memory."""
    with gzip.open(path) if path.lower().endswith(".gz") else open(path, "rb") as file:
        block = file.read(540)
    for order in "<>":
        if len(block) >= 348 and struct.unpack(f"{order}i", block[:4])[0] == 348:
            (offset,) = struct.unpack(f"{order}f", block[108:112])
        elif len(block) >= 540 and struct.unpack(f"{order}i", block[:4])[0] == 540:  # NIfTI-2
            (offset,) = struct.unpack(f"{order}q", block[168:176])
        else:
            continue
        if not 0 <= offset <= _LARGEST_HEADER:
            raise CrossDError(
                f"The voxels of a NIfTI file begin after its header: those of '{path}' are said to begin at byte "
                f"{offset:.6g} (vox_offset). The header is damaged: copy the file again."
            )
    return block


def _corrected(header: Any, block: bytes) -> list[str]:
    """What is wrong in a header, and put right by nibabel without saying so to anyone but its log."""
    block = block[: header.structarr.nbytes]
    raw = type(header)(block, check=False)
    faults = type(header).diagnose_binaryblock(block).splitlines()
    told = [fault for fault in faults if fault and not fault.startswith(_HARMLESS)]
    if "qform_code" not in raw or raw["sform_code"] > 0 or not raw["qform_code"] > 0 or raw["pixdim"][0] == 0:
        told = [fault for fault in told if "(qfac)" not in fault]  # 0 counts as 1, and nothing but a qform uses it
    said = [f"The header of the file has faults, for which usual values are taken: {'; '.join(told)}."] if told else []
    slope, inter = (float(raw.get(name, np.nan)) for name in ("scl_slope", "scl_inter"))
    if np.isinf(slope) or (not abs(slope) > 0 and np.isfinite(inter) and inter != 0):  # NaN or 0 in both: no scale
        said.append(f"The file states the scale {slope:g} and {inter:g} (scl_slope, scl_inter): none is applied.")
    return said


def _start(image: Any, warnings: list[str]) -> tuple[int, list[str]]:
    """The byte at which the voxels begin, and the warnings with what is to be told of it."""
    start, least = int(image.dataobj.offset), getattr(image.header, "single_vox_offset", 0)
    if not getattr(image.header, "is_single", False) or start >= least:
        return start, warnings
    told = f"The voxels are said to begin at byte {start} (vox_offset), which is in the header: {least} is taken."
    return least, [*warnings, told]


def _whole_gzip(path: str, spec: tuple, end: int) -> tuple[np.ndarray, int]:
    """Voxels of a .gz, and the bytes after the last one; read to its end, where the checksum stands."""
    from nibabel.arrayproxy import ArrayProxy

    with gzip.open(path) as stream:
        voxels = np.asarray(ArrayProxy(stream, spec), dtype=np.float32)
        while stream.read(1 << 20):
            if stream.tell() > end + TAIL:
                raise goes_on(path, end)
        return voxels, stream.tell() - end


def _check_values(path: str, dtype: np.dtype) -> None:
    if dtype.fields is not None:
        raise CrossDError(
            f"A volume has one value per voxel: '{path}' is in colour (fields {', '.join(dtype.fields)}). "
            "Convert it to grey levels."
        )
    if dtype.kind == "c":
        raise CrossDError(f"A volume has real values: '{path}' is complex ({dtype}). Write its magnitude instead.")


def axial_to_stored(volume: np.ndarray, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> tuple[np.ndarray, np.ndarray]:
    """The stored array and the affine of a volume `(depth, height, width)` whose depth slices are axial images, SPL.

    Returns:
        The array `(i, j, k) = (width, height, depth)`, and `voxel_to_world` of shape `(4, 4)`: millimetres in RAS,
        the centre of the volume at the origin.

    Raises:
        CrossDError: not three axes, or a spacing that is not positive.

    >>> stored, voxel_to_world = axial_to_stored(np.zeros((5, 4, 3)), spacing=(2.0, 1.0, 0.5))
    >>> stored.shape, voxel_to_world.tolist()
    ((3, 4, 5), [[-0.5, 0.0, 0.0, 0.5], [0.0, -1.0, 0.0, 1.5], [0.0, 0.0, 2.0, -4.0], [0.0, 0.0, 0.0, 1.0]])
    """
    if volume.ndim != 3:
        raise CrossDError(f"A volume has the axes (depth, height, width), got shape {volume.shape}. Pass three axes.")
    if len(spacing) != 3 or not all(step > 0 for step in spacing):
        raise CrossDError(f"spacing is three positive lengths in millimetres, got {tuple(spacing)}.")
    stored = volume.transpose(2, 1, 0)  # (depth, height, width) -> (i, j, k): to the left, to posterior, to superior
    steps = np.array([-spacing[2], -spacing[1], spacing[0]])  # RAS counts to the right and to anterior, hence the signs
    voxel_to_world = np.diag([*steps, 1.0])
    voxel_to_world[:3, 3] = -steps * (np.array(stored.shape) - 1) / 2
    return stored, voxel_to_world


def write_nifti(path: str | os.PathLike[str], volume: np.ndarray, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> Path:
    """Write a volume `(depth, height, width)` as NIfTI, and give the path back; equal volumes give equal bytes.

    Args:
        path: ends in .nii or .nii.gz; its folder is made where it is missing.
        volume: shape `(depth, height, width)`, SPL, stored in its own dtype.
        spacing: millimetres between voxels along (depth, height, width).

    Raises:
        CrossDError: as `axial_to_stored`, or a path that is not NIfTI.
    """
    import nibabel

    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise CrossDError(f"A NIfTI file ends in .nii or .nii.gz, got {path.name!r}. Rename it.")
    stored, voxel_to_world = axial_to_stored(volume, spacing)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(stored, voxel_to_world, dtype=stored.dtype)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path
