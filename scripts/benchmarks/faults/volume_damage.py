"""What happens to NIfTI, NRRD and MetaImage headers and voxels."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path

import numpy as np

from scripts.benchmarks.faults.file_damage import Damage

_BOMB = 2**26  # bytes of zeros: 64 MiB that pack into 64 KiB


def _header_file(folder: Path) -> Path:
    """The .nii, .nii.gz or .hdr of a case."""
    return next(path for path in sorted(folder.iterdir()) if ".nii" in path.name or ".hdr" in path.name)


def _edit(folder: Path, offset: int, form: str, *values: float) -> None:
    """Write values into the header at a byte, packed or not."""
    file = _header_file(folder)
    is_packed = file.name.endswith(".gz")
    data = bytearray(gzip.decompress(file.read_bytes()) if is_packed else file.read_bytes())
    data[offset : offset + struct.calcsize(form)] = struct.pack(form, *values)
    file.write_bytes(gzip.compress(bytes(data)) if is_packed else bytes(data))


def _one_of(random: np.random.Generator, *values: float) -> float:
    return values[random.integers(len(values))]


def huge_dims(folder: Path, random: np.random.Generator) -> None:
    """`dim` of 30000 × 30000 × 30000."""
    _edit(folder, 40, "<4h", 3, 30000, 30000, 30000)


def odd_dims(folder: Path, random: np.random.Generator) -> None:
    """`dim` with zeros, negative or many axes, or a little more than there is."""
    odd = [(3, 0, 28, 28), (3, -1, 28, 28), (7, 28, 28, 28), (0, 28, 28, 28), (3, 28, 28, 29), (2, 28, 28, 1)]
    _edit(folder, 40, "<4h", *odd[random.integers(len(odd))])


def four_axes(folder: Path, random: np.random.Generator) -> None:
    """The slices as volumes of a time series."""
    _edit(folder, 40, "<5h", 4, 28, 28, 14, 2)


def wrong_datatype(folder: Path, random: np.random.Generator) -> None:
    """`datatype` of another type, colour, complex, or none."""
    code = int(_one_of(random, 0, 1, 2, 16, 32, 64, 128, 256, 1024, 1536, 1792, 2304, 9999))
    _edit(folder, 70, "<h", code)


def wrong_offset(folder: Path, random: np.random.Generator) -> None:
    """`vox_offset` before the file, far behind it, or not a number."""
    _edit(folder, 108, "<f", _one_of(random, -1e6, 1.0, 351.5, 1e9, 1e30, float("nan"), float("inf")))


def wrong_spacing(folder: Path, random: np.random.Generator) -> None:
    """`pixdim` of zero, negative, tiny, huge or not a number, with the place by quaternions alone."""
    _edit(folder, 252, "<2h", 1, 0)
    _edit(folder, 80, "<3f", *[_one_of(random, 0.0, -1.0, 1e-9, 1e4, 1e30, float("nan")) for _ in range(3)])


def wrong_sform(folder: Path, random: np.random.Generator) -> None:
    """An affine of zeros, of equal rows, of huge numbers, or of none."""
    value = _one_of(random, 0.0, 1.0, 1e30, float("nan"), float("inf"))
    _edit(folder, 254, "<h", 2)
    _edit(folder, 280, "<12f", *[value] * 12)


def stretched_sform(folder: Path, random: np.random.Generator) -> None:
    """Spacings of metres: resampling would make 10¹² voxels and more."""
    size = _one_of(random, 1e3, 1e4, 1e6)
    _edit(folder, 254, "<h", 2)
    _edit(folder, 280, "<12f", size, 0, 0, 0, 0, size, 0, 0, 0, 0, size, 0)


def wrong_quaternion(folder: Path, random: np.random.Generator) -> None:
    """A quaternion that is none, where it alone states the place."""
    _edit(folder, 252, "<2h", 1, 0)
    _edit(folder, 256, "<3f", *[_one_of(random, 2.0, -3.0, float("nan"), 1e20) for _ in range(3)])


def wrong_scale(folder: Path, random: np.random.Generator) -> None:
    """`scl_slope` and `scl_inter` of zero, huge or not numbers."""
    values = (0.0, 1e38, -1e38, float("nan"), float("inf"))
    _edit(folder, 112, "<2f", _one_of(random, *values), _one_of(random, *values))


def wrong_units(folder: Path, random: np.random.Generator) -> None:
    """`xyzt_units` of metres, micrometres, or unknown ones, for a file in millimetres."""
    _edit(folder, 123, "<b", int(_one_of(random, 1, 3, 7, 0)))


def wrong_magic(folder: Path, random: np.random.Generator) -> None:
    """Another `magic` or `sizeof_hdr`."""
    if random.integers(2):
        _edit(folder, 344, "<4s", random.bytes(4))  # type: ignore[arg-type]
    else:
        _edit(folder, 0, "<i", int(_one_of(random, 0, 347, 540, 2**31 - 1, 1543569408)))


def not_a_number(folder: Path, random: np.random.Generator) -> None:
    """Voxels that are NaN or infinite."""
    _edit(folder, 70, "<2h", 16, 32)  # read as float32
    _edit(folder, 40, "<4h", 3, 28, 28, 14)
    name = _header_file(folder)
    start = 352 if ".nii" in name.name else 0
    for _ in range(int(random.integers(1, 20))):
        place = start + 4 * int(random.integers(28 * 28 * 14))
        value = _one_of(random, float("nan"), float("inf"), float("-inf"), 3e38)
        if ".nii" in name.name:
            _edit(folder, place, "<f", value)
        else:
            image = name.with_suffix(".img")
            data = bytearray(image.read_bytes())
            data[place : place + 4] = struct.pack("<f", value)
            image.write_bytes(data)


def gzip_bomb(folder: Path, random: np.random.Generator) -> None:
    """A file that unpacks to far more than it declares, or declares all that it unpacks to."""
    file = _header_file(folder)
    data = file.read_bytes()
    plain = gzip.decompress(data) if file.name.endswith(".gz") else data
    for path in folder.iterdir():
        path.unlink()
    bomb = bytearray(plain[:352].ljust(352, b"\0")) + bytes(_BOMB)
    bomb[108:112], bomb[344:348] = struct.pack("<f", 352), b"n+1\0"
    if random.integers(2):
        bomb[40:48], bomb[70:74] = struct.pack("<4h", 3, 400, 400, 400), struct.pack("<2h", 2, 8)
    (folder / "bomb.nii.gz").write_bytes(gzip.compress(bytes(bomb), compresslevel=1))


def missing_half(folder: Path, random: np.random.Generator) -> None:
    """A header without the file of its voxels, or the voxels without their header."""
    files = sorted(folder.iterdir())
    if len(files) > 1:
        files[random.integers(len(files))].unlink()
    else:
        files[0].rename(files[0].with_suffix(".hdr"))


def _text_header(folder: Path) -> Path:
    return next(path for path in sorted(folder.iterdir()) if path.suffix in (".nrrd", ".nhdr", ".mha", ".mhd"))


def _replace(folder: Path, pattern: bytes, value: bytes) -> None:
    file = _text_header(folder)
    file.write_bytes(re.sub(pattern, lambda found: found[1] + value, file.read_bytes(), count=1, flags=re.I | re.M))


def huge_sizes(folder: Path, random: np.random.Generator) -> None:
    """30000 × 30000 × 30000 voxels declared."""
    _replace(folder, rb"^(sizes: |DimSize = )[^\r\n]*", b"30000 30000 30000")


def odd_sizes(folder: Path, random: np.random.Generator) -> None:
    """Sizes of zero, negative, too few, too many, or a little more than there is."""
    odd = (b"0 28 28", b"-5 28 28", b"28 28", b"28 28 28 28", b"28 28 29", b"28 28 x", b"99999999999999999999 1 1")
    _replace(folder, rb"^(sizes: |DimSize = )[^\r\n]*", odd[random.integers(len(odd))])


def odd_text(folder: Path, random: np.random.Generator) -> None:
    """Another type, encoding, dimension, space or byte order than the voxels have."""
    fields = (
        (
            rb"^(type: |ElementType = )[^\r\n]*",
            (b"block", b"double", b"MET_DOUBLE", b"uchar", b"MET_UCHAR_ARRAY", b"?"),
        ),
        (rb"^(encoding: |CompressedData = )[^\r\n]*", (b"gzip", b"raw", b"bzip2", b"hex", b"True", b"False", b"txt")),
        (rb"^(dimension: |NDims = )[^\r\n]*", (b"2", b"4", b"0", b"-3", b"17")),
        (rb"^(space directions: |ElementSpacing = )[^\r\n]*", (b"0 0 0", b"1e30 1 1", b"nan nan nan", b"(0,0,0)")),
        (rb"^(space: |TransformMatrix = )[^\r\n]*", (b"nowhere", b"0 0 0 0 0 0 0 0 0", b"1 0", b"nan " * 9)),
        (rb"^(endian: |BinaryDataByteOrderMSB = )[^\r\n]*", (b"big", b"True", b"middle")),
    )
    pattern, values = fields[random.integers(len(fields))]
    _replace(folder, pattern, values[random.integers(len(values))])


def voxels_elsewhere(folder: Path, random: np.random.Generator) -> None:
    """Voxels in a file that is missing, is outside of the folder, is a device, or is the header itself."""
    file = _text_header(folder)
    places = (
        b"absent.raw",
        b"../../../../etc/passwd",
        b"/etc/passwd",
        b"/dev/zero",
        file.name.encode(),
        b"x%03d 1 9 0",
    )
    data = file.read_bytes()
    place = places[random.integers(len(places))]
    if file.suffix in (".nrrd", ".nhdr"):
        head = re.sub(rb"^data ?file:.*\n", b"", data.split(b"\n\n")[0] + b"\n", flags=re.M)
        file.write_bytes(head + b"data file: " + place + b"\n\n")
    else:
        file.write_bytes(re.sub(rb"(ElementDataFile = )[^\n]*\n(.|\n)*", lambda found: found[1] + place + b"\n", data))


NIFTI_DAMAGE: dict[str, Damage] = {
    "huge size declared": huge_dims,
    "odd sizes": odd_dims,
    "four axes": four_axes,
    "wrong data type": wrong_datatype,
    "wrong offset of the voxels": wrong_offset,
    "wrong spacing": wrong_spacing,
    "zero, singular or infinite affine": wrong_sform,
    "spacing of metres": stretched_sform,
    "wrong quaternion": wrong_quaternion,
    "wrong scale": wrong_scale,
    "wrong unit": wrong_units,
    "wrong magic": wrong_magic,
    "NaN and infinite voxels": not_a_number,
    "gzip bomb": gzip_bomb,
    "half of a pair missing": missing_half,
}
TEXT_DAMAGE: dict[str, Damage] = {
    "huge size declared": huge_sizes,
    "odd sizes": odd_sizes,
    "odd fields of the header": odd_text,
    "voxels elsewhere": voxels_elsewhere,
}
