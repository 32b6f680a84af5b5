"""What the header of a NRRD or MetaImage file says of its voxels: sizes, type, packing, and where they lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from crossd.data.text_headers import TextHeader

_UNITS = {"mm": 1.0, "m": 1000.0, "cm": 10.0, "um": 0.001, "µm": 0.001, "micron": 0.001, "microns": 0.001}
_PATIENT = {  # what makes each space LPS
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1, -1, 1)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1, -1, 1)),
    **dict.fromkeys(("left-posterior-superior", "lps"), (1, 1, 1)),
}
_SPATIAL = ("domain", "space", "???")
COLOUR = ("rgb-color", "rgba-color", "hsv-color", "xyz-color", "3-color", "4-color")
_AXES = ("dimension", "ndims")
_UNIT = 0.01  # by which directions of rounded cosines may be longer or shorter than 1
_FROM = ("RL", "AP", "IS")  # where an axis begins that runs along +x, −x; +y, −y; +z, −z of LPS
_PACKINGS = {
    **{"raw": "raw", "gz": "gzip", "gzip": "gzip", "bz2": "bzip2", "bzip2": "bzip2", "hex": "hex"},
    **dict.fromkeys(("txt", "text", "ascii"), "text"),
}
_NRRD_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), "i8"),
    **dict.fromkeys(("int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    **{"float": "f4", "double": "f8"},
}
_META_TYPES = {
    **{"met_char": "i1", "met_uchar": "u1", "met_short": "i2", "met_ushort": "u2", "met_int": "i4", "met_uint": "u4"},
    **{"met_long": "i4", "met_ulong": "u4", "met_long_long": "i8", "met_ulong_long": "u8"},
    **{"met_float": "f4", "met_double": "f8"},
}


@dataclass(frozen=True)
class Layout:
    """How the voxels of a file are stored."""

    sizes: tuple[int, ...]  # of all axes, the fastest first
    spatial: tuple[int, ...]  # which of them are those of the volume, three or fewer
    kind: str  # what a further axis holds of one voxel: "complex", one of `COLOUR`, "components"; empty for volumes
    dtype: np.dtype  # of one value, with its byte order
    packing: str  # "raw", "gzip" (or zlib), "bzip2", "text" or "hex"
    lines: int  # to leave out before the voxels
    skip: int  # bytes to leave out then; -1: the voxels end the file
    voxel_to_lps: np.ndarray  # (4, 4), to millimetres, as far as the file states it
    stated: bool  # whether the header says where in the patient the axes run to
    warnings: tuple[str, ...]


def layout_of(text: TextHeader) -> Layout:
    """What a header says of its voxels; an error where a field is missing, malformed, or contradicts another."""
    return _of_nrrd(text) if text.kind == "NRRD" else _of_meta_image(text)


def _of_nrrd(text: TextHeader) -> Layout:
    axes = _whole(text, "dimension", 1)
    sizes = _sizes(text, "sizes", axes)
    kinds = text.fields.get("kinds", "??? " * axes).lower().split()
    if len(kinds) != axes:
        raise text.malformed("kinds", f"a word for each of {axes} axes")
    packing = _known(text, "encoding", _PACKINGS)
    dtype = np.dtype(_known(text, "type", _NRRD_TYPES))
    if dtype.itemsize > 1 and packing != "text":
        dtype = dtype.newbyteorder(">" if _known(text, "endian", {"little": "", "big": "big"}) else "<")
    vectors = _vectors(text, "spacedirections", axes) if "spacedirections" in text.fields else None
    spatial = [a for a in range(axes) if kinds[a] in _SPATIAL and (vectors is None or vectors[a] is not None)][:3]
    further = {kinds[axis] for axis in range(axes) if axis not in spatial and sizes[axis] > 1}
    kind = next((kind for kind in ("complex", *COLOUR) if kind in further), "")
    if not kind and further - {*_SPATIAL, "time"}:
        kind = "components"
    space = text.fields.get("space", "").lower().removesuffix("-time")
    place = np.eye(4)
    if vectors is not None:
        if np.isfinite(_numbers(text, "spacings", axes, "nan")).any():
            raise text.malformed("spacings", "not stated where `space directions` are")
        place[:3, : len(spatial)] = np.transpose([vectors[axis] for axis in spatial])
    else:
        spacings = _numbers(text, "spacings", axes, "nan")[spatial]
        if (spacings <= 0).any():
            raise text.malformed("spacings", "positive for the axes of the volume")
        place[range(len(spatial)), range(len(spatial))] = np.where(np.isfinite(spacings), spacings, 1.0)
    origins = _vectors(text, "spaceorigin", 1) if "spaceorigin" in text.fields else None
    if origins is not None and origins[0] is not None:
        place[:3, 3] = origins[0]
    place = np.diag([*_PATIENT.get(space, (1, 1, 1)), 1]) @ place
    lines, skip = _whole(text, "lineskip", 0, "0"), _whole(text, "byteskip", -1, "0")
    if skip < 0 and packing != "raw":
        raise text.malformed("byteskip", "-1 only where the encoding is raw")
    missing = "" if vectors is not None else "NRRD `space directions`"
    if space not in _PATIENT:
        missing = "NRRD `space` is " + (re.sub(r"[^\w-]", "", text.fields.get("space", ""))[:60] or "absent")
    placed = _placed(text, place, missing, "spaceunits")
    return Layout(sizes, tuple(spatial), kind, dtype, packing, lines, skip, *placed)


def _of_meta_image(text: TextHeader) -> Layout:
    axes = _whole(text, "ndims", 1)
    sizes = _sizes(text, "dimsize", axes)
    channels = _whole(text, "elementnumberofchannels", 1, "1")
    dtype = np.dtype(_known(text, "elementtype", _META_TYPES))
    big = _flag(text, "elementbyteordermsb")
    packing = "gzip" if _flag(text, "compresseddata") else "raw" if _flag(text, "binarydata", "true") else "text"
    spacing = "elementspacing" if "elementspacing" in text.fields else "elementsize"
    spacings = _numbers(text, spacing, axes, "1")
    if not (spacings > 0).all():
        raise text.malformed(spacing, "positive")
    matrix = np.eye(axes)
    if "transformmatrix" in text.fields:
        matrix = _numbers(text, "transformmatrix", axes * axes, "").reshape(axes, axes).T  # stored: axis after axis
    count = min(axes, 3)
    place = np.eye(4)
    place[:count, :count] = (matrix * spacings)[:count, :count]
    place[:count, 3] = _numbers(text, "offset", axes, "0")[:count]
    skip = _whole(text, "headersize", -1, "0")
    if skip < 0 and packing != "raw":
        raise text.malformed("headersize", "-1 only where the voxels are not packed")
    if skip > 0 and text.offset:
        if skip != text.offset:
            raise text.malformed("headersize", f"{text.offset} where so many bytes precede the voxels")
        skip = 0
    inner = (channels,) if channels > 1 else ()
    missing = "" if "transformmatrix" in text.fields else "MetaImage `TransformMatrix`"
    voxel_to_lps, stated, told = _placed(text, place, missing, "distanceunits")
    return Layout(
        (*inner, *sizes),
        tuple(range(len(inner), len(inner) + count)),
        "components" if inner else "",
        dtype.newbyteorder(">" if big else "<"),
        packing,
        0,
        skip,
        voxel_to_lps,
        stated,
        (*told, *_disagreements(text, matrix[:count, :count])),
    )


def _placed(text: TextHeader, place: np.ndarray, missing: str, units: str) -> tuple[np.ndarray, bool, tuple[str, ...]]:
    """An affine in millimetres, whether the file states its space, and what to tell: the last entries of a layout.

    Lengths are left as they are where no unit, an unknown one, or several are stated.
    """
    told = [f"The file states no space ({missing}): its axes are used in their own order."] if missing else []
    said = text.fields.get(units, "")
    found = {unit.lower() for unit in re.findall(r'[^"\s]+', said) if unit != "???"}
    factor = _UNITS.get(found.pop(), 1.0) if len(found) == 1 else 1.0
    if factor != 1:
        told.append(f"The file's unit is {said[:60]}: read as millimetres.")
    return np.diag([factor, factor, factor, 1.0]) @ place, not missing, tuple(told)


def _disagreements(text: TextHeader, matrix: np.ndarray) -> list[str]:
    """What to tell of directions of a MetaImage that are no unit vectors, and of an orientation that is not theirs."""
    told = []
    lengths = np.linalg.norm(matrix, axis=0)
    if np.abs(lengths - 1).max() > _UNIT:
        said = " × ".join(f"{length:.4g}" for length in lengths)
        told.append(
            f"The file states two spacings: the directions of `TransformMatrix`, which should be 1 long, are {said}. "
            "They are multiplied by `ElementSpacing`, as in ITK."
        )
    longest = np.abs(matrix).argmax(axis=0)
    code = "".join(_FROM[k][int(matrix[k, axis] < 0)] for axis, k in enumerate(longest))
    other = text.fields.get("anatomicalorientation", "???").upper()
    if "transformmatrix" in text.fields and re.fullmatch("[RLAPIS]{3}", other) and other != code:
        told.append(
            f"The file states two orientations: `AnatomicalOrientation` is {other}, and `TransformMatrix` {code}, "
            "which is used, as in ITK."
        )
    return told


def _sizes(text: TextHeader, name: str, axes: int) -> tuple[int, ...]:
    words = text.fields.get(name, "").split()
    if len(words) != axes or not all(re.fullmatch(r"\d{1,18}", word) for word in words):
        raise text.malformed(name, f"a whole number for each of {axes} axes")
    return tuple(map(int, words))


def _whole(text: TextHeader, name: str, least: int, default: str = "") -> int:
    word = text.fields.get(name, default)
    if not re.fullmatch(r"[+-]?\d{1,15}", word) or int(word) < least or (name in _AXES and int(word) > 16):
        raise text.malformed(name, f"a whole number from {least}{' to 16' if name in _AXES else ''}")
    return int(word)


def _numbers(text: TextHeader, name: str, count: int, default: str) -> np.ndarray:
    words = text.fields[name].split() if name in text.fields else [default] * count
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError:
        numbers = np.array([])
    if len(numbers) != count:
        raise text.malformed(name, f"{count} numbers")
    return numbers


def _vectors(text: TextHeader, name: str, count: int) -> list[np.ndarray | None]:
    """`(1,0,0) none (0,1,0)`: of four numbers, of a space with time, the first three."""
    parts = re.findall(r"none|\([^()]*\)", text.fields[name])
    vectors = []
    for part in parts:
        words = part.strip("()").split(",")
        try:
            vector = None if part == "none" else np.array([float(word) for word in words[:3]])
        except ValueError:
            vector = np.array([])
        vectors.append(vector)
    if len(parts) != count or any(vector is not None and len(vector) != 3 for vector in vectors):
        raise text.malformed(name, f"{count} times three numbers, as in (1,0,0)")
    return vectors


def _known(text: TextHeader, name: str, values: Mapping[str, str]) -> str:
    said = text.fields.get(name, "").lower()
    if said not in values:
        raise text.malformed(name, f"one of {', '.join(values)}")
    return values[said]


def _flag(text: TextHeader, name: str, default: str = "false") -> bool:
    said = text.fields.get(name, default).lower()
    if said not in ("true", "false", "t", "f", "1", "0", "yes", "no", "y", "n"):
        raise text.malformed(name, "True or False")
    return said[0] in "t1y"
