"""Where the voxels of a NIfTI file lie: sform, qform, pixdim and unit, held against one another.

NIfTI-1: https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h, from which the names of fields are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crossd.data.volume import apart, odd_size

_MILLIMETRES = {1: 1000.0, 3: 0.001}  # of the lowest three bits of xyzt_units: metres and micrometres
_SAME_PLACE = 0.1  # mm: rounding of quaternions in float32 stays far below, and no scanner is that exact
_SAME_SPACING = 0.01  # of it: pixdim is rounded to fewer digits by some programs


def place(image: Any, shape: tuple[int, int, int]) -> tuple[np.ndarray, bool, list[str]]:
    """The affine of a NIfTI or Analyze image of nibabel, in millimetres, whether it states it, and what to tell of it.

    >>> import nibabel
    >>> image = nibabel.Nifti1Image(np.zeros((8, 8, 9)), np.eye(4))
    >>> image.header["pixdim"][1:4] = 1.5, 1.5, 10
    >>> affine, stated, told = place(image, (8, 8, 9))
    >>> np.diag(affine).tolist(), stated
    ([1.5, 1.5, 10.0, 1.0], True)
    >>> print(told[0])
    The file states two spacings, 1 × 1 × 1 mm by its sform and 1.5 × 1.5 × 10 mm by pixdim: pixdim is used, since ...
    """
    header = image.header
    sform, qform = (int(header.get(code, 0)) for code in ("sform_code", "qform_code"))
    warnings = []
    voxel_to_world = np.asarray(image.affine, dtype=np.float64)
    zooms = np.array(header.get_zooms()[:3], dtype=np.float64)
    if not sform and not qform:
        known = np.isfinite(zooms) & (zooms > 0)
        voxel_to_world = np.diag([*np.where(known, zooms, 1.0), 1.0])
        warnings.append(
            "The file states no orientation (sform_code and qform_code are 0): its axes are used in their own order."
        )
        if not known.all():
            warnings.append(f"The file's spacing is {zooms.tolist()} (pixdim): 1 mm is assumed where it is none.")
    elif sform:
        sform_to_world, (voxel_to_world, told) = voxel_to_world, _with_pixdim(voxel_to_world, zooms, shape)
        other = _disagreement(header, voxel_to_world, shape) if qform else []
        warnings += other if other and voxel_to_world is sform_to_world else [*told, *other]
    unit = int(header.get("xyzt_units", 0)) & 7
    factor = _MILLIMETRES.get(unit, 1.0)
    voxel_to_world = np.diag([factor, factor, factor, 1.0]) @ voxel_to_world
    if factor != 1:
        name = "metres" if unit == 1 else "micrometres"
        spans = " × ".join(f"{size:.4g}" for size in np.linalg.norm(voxel_to_world[:3, :3], axis=0) * shape)
        warnings.append(f"The file's unit is {name} (xyzt_units): read as millimetres, it spans {spans} mm.")
    return voxel_to_world, bool(sform or qform), warnings


def _with_pixdim(sform: np.ndarray, pixdim: np.ndarray, shape: tuple[int, int, int]) -> tuple[np.ndarray, list[str]]:
    """The sform, and what to say where its spacing is not that of pixdim."""
    spacing = np.linalg.norm(sform[:3, :3], axis=0)
    if np.allclose(spacing, pixdim, rtol=_SAME_SPACING, atol=0):
        return sform, []
    two, one = (" × ".join(f"{step:.4g}" for step in steps) for steps in (spacing, pixdim))
    said = f"The file states two spacings, {two} mm by its sform and {one} mm by pixdim"
    scaled = sform.copy()
    scaled[:3, :3] *= pixdim / np.where(spacing > 0, spacing, 1)
    known = np.isfinite(scaled).all() and (pixdim > 0).all() and not odd_size(scaled, shape)
    if known and np.allclose(spacing, 1, rtol=1e-5, atol=0):
        return scaled, [f"{said}: pixdim is used, since 1 mm is what programs write that do not know it."]
    return sform, [f"{said}: the sform is used, as in nibabel."]


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
