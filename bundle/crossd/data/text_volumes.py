"""One volume out of a NRRD or MetaImage file, by its header alone: no parser but this library's sees the file."""

from __future__ import annotations

import bz2
import os
from math import prod
from typing import IO, Any

import numpy as np

from crossd.data.declared_sizes import DEFLATE_AT_MOST, check_declared, check_voxels, damaged, inflated, too_many
from crossd.data.text_headers import TextHeader, read_text_header
from crossd.data.text_layouts import COLOUR, Layout, layout_of
from crossd.data.volume import Volume, choose_volume
from crossd.errors import CrossDError

_DIGITS = 8  # bytes that a written one may stand for: "0 " for a double; two digits are one of `hex`


def read_text_volume(path: str, volume: int | None = None) -> Volume:
    """Read .nrrd, .nhdr, .mha or .mhd; their world is LPS, or the one a NRRD names, and becomes RAS here.

    Args:
        volume: which volume of a 4D file, from 0; the axis may be a NRRD one of the kind "list" or "vector" too.

    Raises:
        CrossDError: colour, complex values, 2D, 4D without a choice, voxels elsewhere or fewer than declared, a
            compressed stream that is damaged, a header that contradicts itself.
    """
    text = read_text_header(path)
    layout = layout_of(text)
    further = [axis for axis in range(len(layout.sizes)) if axis not in layout.spatial]
    if layout.kind:
        _check_kind(path, layout, prod(layout.sizes[axis] for axis in further), volume)
    shape = tuple(layout.sizes[axis] for axis in layout.spatial)
    if len(shape) == 3:
        shape += tuple(layout.sizes[axis] for axis in further)
    _, number = choose_volume(path, shape, volume)
    check_voxels(path, layout.sizes)
    values, surplus = _values(text, layout)
    whole = values.reshape(layout.sizes, order="F").transpose(*layout.spatial, *further)
    index: tuple[Any, ...] = (..., *(number if layout.sizes[axis] > 1 else 0 for axis in further))
    voxels = whole[index]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ layout.voxel_to_lps
    warnings = (*layout.warnings, *too_many(surplus))
    return Volume(voxels.astype(np.float32, copy=False), affine, layout.stated, warnings)


def _check_kind(path: str, layout: Layout, count: int, volume: int | None) -> None:
    if layout.kind == "complex":
        raise CrossDError(f"A volume has real values: '{path}' is complex. Write its magnitude instead.")
    if layout.kind in COLOUR:
        colour = f"is in colour ({layout.kind.removesuffix('-color')})"
        raise CrossDError(f"A volume has one value per voxel: '{path}' {colour}. Convert it to grey levels.")
    if volume is None:
        raise CrossDError(
            f"A volume has one value per voxel: '{path}' has {count}. Choose one of them, counted from 0, as a "
            "volume (--volume 0, or FILE@0 in place of the path), or convert colour to grey levels."
        )


def _values(text: TextHeader, layout: Layout) -> tuple[np.ndarray, int]:
    """All values in the order of the files, and how many bytes there are beyond the declared ones."""
    count = prod(layout.sizes)
    needed = count * layout.dtype.itemsize
    ratio = {"raw": 1.0, "gzip": float(DEFLATE_AT_MOST), "bzip2": float("inf")}.get(layout.packing, float(_DIGITS))
    skipped = text.offset * (layout.packing == "raw") + max(layout.skip, 0) * len(text.files)
    check_declared(text.path, text.files, needed + skipped, ratio)
    share, rest = divmod(count, len(text.files))
    if rest:
        raise CrossDError(
            f"The files of a header hold equally many voxels: '{text.path}' names {len(text.files)} for {count}. "
            "Correct the list."
        )
    parts, after = zip(*(_part(text, file, layout, share) for file in text.files), strict=True)
    surplus = sum(after)
    if layout.packing == "raw" and not layout.lines and layout.skip >= 0:
        surplus = sum(map(os.path.getsize, text.files)) - skipped - needed
    return parts[0] if len(parts) == 1 else np.concatenate(parts), surplus


def _part(text: TextHeader, path: str, layout: Layout, count: int) -> tuple[np.ndarray, int]:
    """The values of one file, and the bytes that a stream has after them."""
    needed = count * layout.dtype.itemsize
    with open(path, "rb") as file:
        file.seek(text.offset)
        for _ in range(layout.lines):
            if not file.readline():
                break
        start = file.tell()
        if layout.packing in ("gzip", "bzip2"):
            limit = layout.skip + needed
            gzip = layout.packing == "gzip"
            unpacked, after = inflated(path, start, limit) if gzip else (_bunzipped(path, file, limit), 0)
            return np.frombuffer(unpacked, layout.dtype, count, layout.skip), after
        if layout.skip < 0:
            start = os.path.getsize(path) - needed
        file.seek(start + max(layout.skip, 0))
        if layout.packing == "raw":
            values = np.fromfile(file, layout.dtype, count)
        else:
            values = _written(path, file.read(), layout)
    if len(values) != count:
        raise damaged(path, f"{len(values)} of {count} voxels are in it")
    return values, 0


def _bunzipped(path: str, file: IO[bytes], needed: int) -> bytes:
    try:
        with bz2.open(file) as stream:
            unpacked = stream.read(needed)
            more = len(stream.read(1))
    except (OSError, EOFError) as error:
        raise damaged(path, str(error)) from error
    if len(unpacked) < needed or more:
        raise damaged(path, f"{len(unpacked)} of {needed} bytes can be unpacked")
    return unpacked


def _written(path: str, content: bytes, layout: Layout) -> np.ndarray:
    """Values as text or hexadecimal digits."""
    try:
        if layout.packing == "hex":
            return np.frombuffer(bytes.fromhex(content.decode("ascii")), layout.dtype)
        return np.array(content.replace(b",", b" ").split(), dtype=np.float64)
    except ValueError as error:
        raise damaged(path, str(error)) from error
