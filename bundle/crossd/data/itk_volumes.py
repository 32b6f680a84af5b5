"""One volume out of a NRRD or MetaImage file, by ITK."""

from __future__ import annotations

import os
import re
from math import prod
from typing import Any

import numpy as np

from crossd.data.declared_sizes import DEFLATE_AT_MOST, check_declared, check_deflated, check_voxels, too_many
from crossd.data.text_headers import TextHeader, read_text_header
from crossd.data.volume import Volume, choose_volume
from crossd.errors import CrossDError

_DIGITS = 8  # a written byte takes up to four characters ("255 "), and `hex` two


def read_with_itk(path: str, volume: int | None = None) -> Volume:
    """Read .nrrd, .nhdr, .mha or .mhd; ITK's world is LPS, and becomes RAS here.

    Args:
        path: the file.
        volume: which volume of a 4D file, from 0; the axis may be a NRRD one of the kind "list" or "vector" too.

    Raises:
        CrossDError: colour, complex values, 2D, 4D without a choice, voxels elsewhere or fewer than declared, a
            compressed stream that is damaged; ITK raises `RuntimeError` for other damage.
    """
    text = read_text_header(path)
    if any("\udc80" <= sign <= "\udcff" for sign in path):  # bytes that are no UTF-8, as Python shows them
        raise CrossDError(f"ITK opens files whose names are UTF-8: that of '{path}' is not. Rename it.")
    import itk

    header = itk.ImageIOFactory.CreateImageIO(path, itk.CommonEnums.IOFileMode_ReadMode)
    if header is None:
        raise CrossDError(
            f"An image file must hold what its name says: ITK finds no NRRD or MetaImage in '{path}'. Copy it again."
        )
    header.SetFileName(path)
    header.ReadImageInformation()
    components = int(header.GetNumberOfComponents())
    kind = header.GetPixelTypeAsString(header.GetPixelType())
    sizes = tuple(int(header.GetDimensions(axis)) for axis in range(int(header.GetNumberOfDimensions())))
    if components > 1:
        _check_components(path, kind, components, volume)
    shape, number = choose_volume(path, (*sizes, components) if components > 1 else sizes, volume)
    check_voxels(path, (*sizes, components) if components > 1 else sizes)
    surplus = _check_files(path, text, prod((*sizes, components)) * int(header.GetComponentSize()))
    image = itk.imread(path) if components > 1 else itk.imread(path, pixel_type=itk.F)
    voxels = itk.array_from_image(image)  # (…, k, j, i), or (k, j, i, component)
    voxels = voxels[..., number] if components > 1 else voxels.reshape(-1, *shape[::-1])[number]
    lps, stated, warnings = _place(image, text)
    return Volume(voxels.transpose().astype(np.float32, copy=False), lps, stated, (*warnings, *too_many(surplus)))


def _check_components(path: str, kind: str, components: int, volume: int | None) -> None:
    if kind == "complex":
        raise CrossDError(f"A volume has real values: '{path}' is complex. Write its magnitude instead.")
    if kind in ("rgb", "rgba"):
        raise CrossDError(
            f"A volume has one value per voxel: '{path}' is in colour ({kind}). Convert it to grey levels."
        )
    if volume is None:
        raise CrossDError(
            f"A volume has one value per voxel: '{path}' has {components}. Choose one of them, counted from 0, as a "
            "volume (--volume 0, or FILE@0 in place of the path), or convert colour to grey levels."
        )


def _check_files(path: str, text: TextHeader, needed: int) -> int:
    """Hold the declared bytes against the files, and compressed ones against their checksum, which ITK ignores.

    Returns:
        Bytes that uncompressed files have beyond the declared ones.
    """
    packing, _, skipped = text.packing.partition(", ")
    ratio = {"raw": 1.0, "gzip": DEFLATE_AT_MOST}.get(packing, float(_DIGITS))
    if packing not in ("bzip2", "bz2"):
        check_declared(path, text.files, needed + (text.offset if packing == "raw" else 0), ratio)
    if packing == "gzip" and len(text.files) == 1 and not skipped:
        check_deflated(text.files[0], text.offset, needed)
    return sum(map(os.path.getsize, text.files)) - text.offset - needed if packing == "raw" and not skipped else 0


def _place(image: Any, text: TextHeader) -> tuple[np.ndarray, bool, tuple[str, ...]]:
    """`voxel_to_world` in RAS millimetres, whether the file states it, and what to tell of it."""
    import itk

    spacing, origin = np.asarray(itk.spacing(image))[:3], np.asarray(itk.origin(image))[:3]
    direction = np.asarray(itk.array_from_matrix(image.GetDirection()))[:3, :3]
    voxel_to_lps = np.eye(4)
    voxel_to_lps[:3, :3], voxel_to_lps[:3, 3] = direction * spacing, origin
    voxel_to_lps[:3] *= text.millimetres
    warnings = []
    if not text.states_space:
        field = "NRRD `space`" if "sizes" in text.fields else "MetaImage `TransformMatrix`"
        other = re.sub(r"[^\w-]", "", text.fields.get("space", ""))
        what = f"{field} is {other}" if other else field
        warnings.append(f"The file states no space ({what}): its axes are used in their own order.")
    if text.millimetres != 1:
        unit = text.fields.get("space units") or text.fields.get("distanceunits")
        warnings.append(f"The file's unit is {unit}: read as millimetres.")
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ voxel_to_lps, text.states_space, tuple(warnings)
