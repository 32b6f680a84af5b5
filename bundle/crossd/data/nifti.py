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
from crossd.data.text_headers import file_beside
from crossd.data.volume import Volume, apart, choose_volume
from crossd.errors import CrossDError

_MILLIMETRES = {1: 1000.0, 3: 0.001}  # of the lowest three bits of xyzt_units: metres and micrometres
_LARGEST_HEADER = 2**26  # vox_offset; extensions are text of some kilobytes
_SAME_PLACE = 0.1  # mm: rounding of quaternions in float32 stays far below, and no scanner is that exact
_HARMLESS = ("pixdim[0] (qfac)", "vox offset", "very large origin")
_BODY = (2.0, 5000.0)  # mm: sizes that a scan can have


def read_nifti(path: str, volume: int | None = None) -> Volume:
    """Read .nii, .nii.gz, or a pair by its .hdr, with scale slopes applied.

    The affine is the sform where there is one, as in nibabel, else the qform, in millimetres whatever the file's unit.

    Args:
        path: the file.
        volume: which volume of a 4D file, from 0.

    Raises:
        CrossDError: colour, complex values, 2D, 4D without a choice, or more voxels than the file can hold; nibabel,
            gzip and zlib raise what they raise for damaged files.
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
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    end = int(stored.offset) + int(np.prod(image.shape, dtype=object)) * dtype.itemsize
    packed = data.lower().endswith(".gz")
    check_declared(path, [data], end, DEFLATE_AT_MOST if packed else 1)
    voxel_to_world, has_affine, warnings = _place(image, shape)
    warnings += _corrected(image.header, block)
    if not packed:
        warnings += too_many(os.path.getsize(data) - end)
    first = int(stored.offset) + number * size
    spec = (shape, dtype, first, stored.slope, stored.inter)
    if packed:
        voxels = _whole_gzip(data, spec, end)
    else:  # not mapped: a file that shrinks while it is mapped ends the process
        voxels = np.asarray(nibabel.arrayproxy.ArrayProxy(data, spec, mmap=False), dtype=np.float32)
    return Volume(voxels, voxel_to_world, has_affine, tuple(warnings))


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
    """What nibabel found wrong in a header and put right, without saying so to anyone but its log."""
    faults = type(header).diagnose_binaryblock(block[: header.structarr.nbytes]).splitlines()
    told = [fault for fault in faults if fault and not fault.startswith(_HARMLESS)]
    return [f"The header of the file has faults, for which usual values are taken: {'; '.join(told)}."] if told else []


def _whole_gzip(path: str, spec: tuple, end: int) -> np.ndarray:
    """Voxels of a .gz, read to its end: only there stands the checksum, which nibabel stops short of."""
    from nibabel.arrayproxy import ArrayProxy

    with gzip.open(path) as stream:
        voxels = np.asarray(ArrayProxy(stream, spec), dtype=np.float32)
        while stream.read(1 << 20):
            if stream.tell() > end + TAIL:
                raise goes_on(path, end)
    return voxels


def _check_values(path: str, dtype: np.dtype) -> None:
    if dtype.fields is not None:
        raise CrossDError(
            f"A volume has one value per voxel: '{path}' is in colour (fields {', '.join(dtype.fields)}). "
            "Convert it to grey levels."
        )
    if dtype.kind == "c":
        raise CrossDError(f"A volume has real values: '{path}' is complex ({dtype}). Write its magnitude instead.")


def _place(image: Any, shape: tuple[int, int, int]) -> tuple[np.ndarray, bool, list[str]]:
    """The affine in millimetres, whether the file states it, and what to tell of it."""
    header = image.header
    sform, qform = (int(header.get(code, 0)) for code in ("sform_code", "qform_code"))
    warnings = []
    voxel_to_world = np.asarray(image.affine, dtype=np.float64)
    if not sform and not qform:
        zooms = [float(zoom) if np.isfinite(zoom) and zoom > 0 else 1.0 for zoom in header.get_zooms()[:3]]
        voxel_to_world = np.diag([*zooms, 1.0])
        warnings.append(
            "The file states no orientation (sform_code and qform_code are 0): its axes are used in their own order."
        )
    elif sform and qform:
        warnings += _disagreement(header, voxel_to_world, shape)
    unit = int(header.get("xyzt_units", 0)) & 7
    factor = _MILLIMETRES.get(unit, 1.0)
    voxel_to_world = np.diag([factor, factor, factor, 1.0]) @ voxel_to_world
    extent = np.linalg.norm(voxel_to_world[:3, :3], axis=0) * shape
    spans = " × ".join(f"{size:.4g}" for size in extent)
    if factor != 1:
        name = "metres" if unit == 1 else "micrometres"
        warnings.append(f"The file's unit is {name} (xyzt_units): read as millimetres, it spans {spans} mm.")
    elif not _BODY[0] <= extent.max() <= _BODY[1]:
        stated = "states millimetres" if unit == 2 else "states no unit (xyzt_units), so millimetres are assumed"
        warnings.append(f"The file {stated}, and spans {spans} mm: check its spacing.")
    return voxel_to_world, bool(sform or qform), warnings


def _disagreement(header: Any, used: np.ndarray, shape: tuple[int, int, int]) -> list[str]:
    """What to say of a qform that places the volume elsewhere than the sform."""
    remedy = "the sform is used, which can hold any affine and which nibabel and FSL take too"
    try:
        other = np.asarray(header.get_qform(), dtype=np.float64)
    except Exception as error:  # a quaternion that is none
        return [f"The qform of the file is damaged ({' '.join(str(error).split())}): {remedy}."]
    distance = apart(used, other, shape)
    if distance <= _SAME_PLACE:
        return []
    return [f"sform and qform of the file disagree, by up to {distance:.2f} mm at its corners: {remedy}."]


def axial_to_stored(volume: np.ndarray, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> tuple[np.ndarray, np.ndarray]:
    """The stored array and the affine of a volume whose depth slices are axial images.

    Args:
        volume: shape `(depth, height, width)`, SPL.
        spacing: millimetres between voxels along (depth, height, width).

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
