"""What happens to DICOM series: slices lost, doubled, exchanged or mixed, and headers that say what is not so."""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import generate_uid

from scripts.benchmarks.faults.file_damage import Damage

_NEEDED = (
    *("Rows", "Columns", "PixelData", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("SamplesPerPixel", "PhotometricInterpretation", "ImagePositionPatient", "ImageOrientationPatient"),
    *("PixelSpacing", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "PatientID", "Modality", "SliceThickness"),
)
_ODD: dict[str, tuple[Any, ...]] = {
    "Rows": (0, 1, 65535),
    "Columns": (0, 1, 65535),
    "BitsAllocated": (0, 1, 7, 8, 32, 64, 4000),
    "BitsStored": (0, 1, 12, 99),
    "HighBit": (0, 7, 99),
    "PixelRepresentation": (1, 5),
    "SamplesPerPixel": (0, 3, 9),
    "NumberOfFrames": (0, 2, 100000, 2147483647),
    "PhotometricInterpretation": ("MONOCHROME1", "RGB", "PALETTE COLOR", "YBR_FULL", "?"),
    "PixelSpacing": ([0, 0], [-1, 1], [1e9, 1e9], [1e-9, 1e-9]),
    "ImageOrientationPatient": ([0] * 6, [1, 0, 0, 1, 0, 0], [9, 0, 0, 0, 9, 0], [1e30] * 6),
    "ImagePositionPatient": ([0, 0, 0], [1e12, 0, 0], [0, 0, -1e9]),
    "RescaleSlope": (0, 1e30, -1),
    "RescaleIntercept": (1e30, -1e30),
    "SliceThickness": (0, -3, 1e9),
}


def _slices(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _some(folder: Path, random: np.random.Generator) -> list[Path]:
    """One slice or all of them."""
    files = _slices(folder)
    return files if random.integers(2) else [files[random.integers(len(files))]]


def _save(dataset: Any, file: Path) -> None:
    """As it is, with whatever was done to it."""
    dataset.save_as(file, enforce_file_format=False)


def missing_slices(folder: Path, random: np.random.Generator) -> None:
    """One slice, several, or all but one lost."""
    files = _slices(folder)
    lost = int((1, 3, len(files) // 2, len(files) - 1)[random.integers(4)])
    for index in random.choice(len(files), lost, replace=False):
        files[index].unlink()


def swapped_files(folder: Path, random: np.random.Generator) -> None:
    """Two slices with each other's names."""
    one, other = random.choice(np.array(_slices(folder), dtype=object), 2, replace=False)
    data = one.read_bytes(), other.read_bytes()
    one.write_bytes(data[1])
    other.write_bytes(data[0])


def swapped_numbers(folder: Path, random: np.random.Generator) -> None:
    """InstanceNumber in any order."""
    files = _slices(folder)
    for file, number in zip(files, random.permutation(len(files)), strict=True):
        dataset = pydicom.dcmread(file)
        dataset.InstanceNumber = int(number)
        _save(dataset, file)


def swapped_positions(folder: Path, random: np.random.Generator) -> None:
    """Two slices with each other's ImagePositionPatient, which nothing in the files can tell."""
    one, other = random.choice(np.array(_slices(folder), dtype=object), 2, replace=False)
    first, second = pydicom.dcmread(one), pydicom.dcmread(other)
    first.ImagePositionPatient, second.ImagePositionPatient = second.ImagePositionPatient, first.ImagePositionPatient
    _save(first, one)
    _save(second, other)


def copies(folder: Path, random: np.random.Generator) -> None:
    """Slices that are there twice, under their own identity or new ones."""
    files = _slices(folder)
    for file in files[:: int(random.integers(1, 4))]:
        copy = file.with_name(f"copy_{file.name}")
        shutil.copy(file, copy)
        if random.integers(2):
            dataset = pydicom.dcmread(copy)
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            _save(dataset, copy)


def mixed_series(folder: Path, random: np.random.Generator) -> None:
    """A second series among the first: of its own, of the same UID, or of another patient."""
    choice, uid = int(random.integers(3)), generate_uid()
    for file in _slices(folder)[:: int(random.integers(1, 3))]:
        dataset = pydicom.dcmread(file)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        if choice == 0:
            dataset.SeriesInstanceUID = uid
        if choice == 2:
            dataset.PatientID = "somebody else"
        _save(dataset, file.with_name(f"other_{file.name}"))


def without_a_tag(folder: Path, random: np.random.Generator) -> None:
    """One needed attribute lost, in one slice or in all."""
    name = _NEEDED[random.integers(len(_NEEDED))]
    for file in _some(folder, random):
        dataset = pydicom.dcmread(file)
        if name in dataset:
            del dataset[name]
        _save(dataset, file)


def odd_tag(folder: Path, random: np.random.Generator) -> None:
    """One attribute with a value that cannot be."""
    name = list(_ODD)[random.integers(len(_ODD))]
    value = _ODD[name][random.integers(len(_ODD[name]))]
    for file in _some(folder, random):
        dataset = pydicom.dcmread(file)
        setattr(dataset, name, value)
        _save(dataset, file)


def huge_size(folder: Path, random: np.random.Generator) -> None:
    """Rows, Columns and NumberOfFrames of gigabytes."""
    for file in _some(folder, random):
        dataset = pydicom.dcmread(file)
        dataset.Rows = dataset.Columns = 65535
        if random.integers(2):
            dataset.NumberOfFrames = 100000
        _save(dataset, file)


def text_for_numbers(folder: Path, random: np.random.Generator) -> None:
    """Positions, spacing and numbers that are no numbers."""
    words = (b"nan", b"inf", b"one", b"\xff\xfe", b"1e999")
    for file in _some(folder, random):
        data = file.read_bytes()
        for tag in (b"\x20\x00\x32\x00DS", b"\x28\x00\x30\x00DS"):
            start = data.find(tag)
            if start >= 0 and random.integers(2):
                (length,) = struct.unpack("<H", data[start + 6 : start + 8])
                word = words[random.integers(len(words))].ljust(length)[:length]
                data = data[: start + 8] + word + data[start + 8 + length :]
        file.write_bytes(data)


def wrong_syntax(folder: Path, random: np.random.Generator) -> None:
    """A transfer syntax that is not the one of the bytes."""
    others = ("2", "2.1.99", "2.2", "2.4.50", "2.4.70", "2.4.80", "2.4.90", "2.4.201", "2.5", "2.99999")
    other = others[random.integers(len(others))]
    for file in _some(folder, random):
        data = file.read_bytes()
        start = data.find(b"\x02\x00\x10\x00UI")
        (length,) = struct.unpack("<H", data[start + 6 : start + 8])
        uid = f"1.2.840.10008.1.{other}".encode()
        file.write_bytes(data[: start + 8] + uid[:length].ljust(length, b"\0") + data[start + 8 + length :])


def wrong_length(folder: Path, random: np.random.Generator) -> None:
    """An element, PixelData for instance, that says to be longer or shorter than it is."""
    for file in _some(folder, random):
        data = bytearray(file.read_bytes())
        start = data.rfind(b"\xe0\x7f\x10\x00")
        length = int((0, 1, 2**16, 2**31, 2**32 - 2, 2**32 - 1)[random.integers(6)])
        data[start + 8 : start + 12] = struct.pack("<I", length)
        file.write_bytes(data)


def pixels_short(folder: Path, random: np.random.Generator) -> None:
    """Less pixel data than the matrix needs, in a file that is whole otherwise."""
    for file in _some(folder, random):
        dataset = pydicom.dcmread(file)
        dataset.PixelData = bytes(dataset.PixelData[: 2 * int(random.integers(1, len(dataset.PixelData) // 2))])
        _save(dataset, file)


def deflate_bomb(folder: Path, random: np.random.Generator) -> None:
    """A deflated object that unpacks to far more than an image."""
    file = _slices(folder)[0]
    data = file.read_bytes()
    start = data.find(b"\x02\x00\x10\x00UI")
    (length,) = struct.unpack("<H", data[start + 6 : start + 8])
    uid = b"1.2.840.10008.1.2.1.99"
    head = data[: start + 6] + struct.pack("<H", len(uid)) + uid
    (group,) = struct.unpack("<I", data[140:144])
    head = head[:140] + struct.pack("<I", group + len(uid) - length) + head[144:]
    rest, body = data[start + 8 + length : 144 + group], data[144 + group :]
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    first, again = (packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH) for block in (body, bytes(2**20)))
    file.write_bytes(head + rest + first + again * 2048 + packer.flush())  # 2 GiB of zeros


def headless(folder: Path, random: np.random.Generator) -> None:
    """The preamble of DICOM before anything else."""
    for file in _some(folder, random):
        file.write_bytes(bytes(128) + b"DICM" + random.bytes(int(random.integers(0, 2000))))


DICOM_DAMAGE: dict[str, Damage] = {
    "slices missing": missing_slices,
    "slices swapped by name": swapped_files,
    "slices swapped by number": swapped_numbers,
    "slices swapped by position": swapped_positions,
    "slices doubled": copies,
    "series mixed": mixed_series,
    "attribute missing": without_a_tag,
    "attribute with an odd value": odd_tag,
    "huge size declared": huge_size,
    "text for numbers": text_for_numbers,
    "wrong transfer syntax": wrong_syntax,
    "wrong length of an element": wrong_length,
    "too few pixels": pixels_short,
    "deflate bomb": deflate_bomb,
    "DICOM preamble, then noise": headless,
}
