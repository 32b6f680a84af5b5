"""The rows of a large array in a .npz file, one at a time: memory holds a row, whatever the size of the file.

`numpy.load` reads a member of an archive as a whole. A member that is stored uncompressed is mapped here at its place
in the archive, without a look at its checksum; a compressed one is read as a stream, whose checksum is held against it.
"""

from __future__ import annotations

import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from crossd.errors import CrossDError

# What zipfile, zlib and numpy raise for damaged bytes, an unknown method of packing, or an archive with a password.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    struct.error,
    tokenize.TokenError,
)


@dataclass(frozen=True)
class NpzArray:
    """One array of a .npz file, not loaded.

    Attributes:
        path: of the file.
        key: of the array.
        shape: of the array; rows are along its first axis.
        dtype: of its values.
        offset: where its values begin in the file, for a member that is stored uncompressed; None for a compressed one.
        fortran_order: whether the first axis varies fastest.
    """

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int | None
    fortran_order: bool = False

    def rows(self) -> Iterator[np.ndarray]:
        """The rows in order, each `shape[1:]`; read-only."""
        if not prod(self.shape):  # nothing can be mapped
            yield from np.empty(self.shape, self.dtype)
            return
        if self.offset is not None:
            order = "F" if self.fortran_order else "C"
            mapped = np.memmap(self.path, self.dtype, "r", self.offset, self.shape, order)  # type: ignore[call-overload]
            yield from (np.asarray(row) for row in mapped)
            return
        size = self.dtype.itemsize * prod(self.shape[1:])
        with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.key}.npy") as file:
            _header(file)
            for _ in range(self.shape[0]):
                yield np.frombuffer(_read(file, size, self.path), self.dtype).reshape(self.shape[1:])


def npz_keys(path: str | os.PathLike[str]) -> list[str]:
    """The names of the arrays in a file.

    Raises:
        CrossDError: a file that is no .npz.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except (zipfile.BadZipFile, OSError) as error:
        raise CrossDError(
            f"A .npz file is a zip archive of arrays, '{path}' is not ({error}). Download it again."
        ) from error


def npz_array(path: str | os.PathLike[str], key: str) -> NpzArray:
    """An array of a file, found but not loaded.

    Raises:
        CrossDError: no such array; Python objects, which are not read for safety; a compressed array in Fortran order,
            whose rows are not together; or a header that cannot be read or declares another size than the array has.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.npz"
    >>> np.savez(path, images=np.arange(6).reshape(3, 2))
    >>> [row.tolist() for row in npz_array(path, "images").rows()]
    [[0, 1], [2, 3], [4, 5]]
    """
    path = Path(path)
    if key not in (keys := npz_keys(path)):
        raise CrossDError(f"'{path}' must hold the array {key!r}, got {', '.join(keys) or 'none'}. Check the file.")
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{key}.npy")
            with archive.open(member) as file:
                shape, fortran_order, dtype = _header(file)
                header_bytes = file.tell()
        offset = _start(path, member) + header_bytes if member.compress_type == zipfile.ZIP_STORED else None
    except _DAMAGED as error:
        raise _damaged(path, f"is damaged ({error})") from error
    if dtype.hasobject:
        raise CrossDError(
            f"Arrays of numbers are read, '{path}' holds Python objects in {key!r}, which could run any code. "
            "Save it again with np.savez(file, images=np.stack(images), labels=labels), where you trust it."
        )
    if member.file_size != header_bytes + dtype.itemsize * prod(shape):
        declared = (
            f"declares {key!r} with shape {shape} and {dtype}, which is not what its {member.file_size} bytes hold"
        )
        raise _damaged(path, declared)
    if offset is None and fortran_order and len(shape) > 1:
        raise CrossDError(
            f"A compressed array is read row by row, '{path}' has {key!r} in Fortran order. "
            "Save it again with np.savez, which does not compress, or in C order."
        )
    return NpzArray(path, key, shape, dtype, offset, fortran_order)


def load_small(path: str | os.PathLike[str], key: str) -> np.ndarray:
    """An array as a whole, for labels.

    Raises:
        CrossDError: as `npz_array`, and for one that is damaged.
    """
    npz_array(path, key)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[key]
    except _DAMAGED as error:
        raise _damaged(path, f"is damaged ({error})") from error


def _start(path: Path, member: zipfile.ZipInfo) -> int:
    """Where the data of a member begins: its local header's lengths may differ from those in the directory."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        name, extra = struct.unpack("<HH", file.read(30)[26:30])
    return member.header_offset + 30 + int(name) + int(extra)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype of a `.npy` stream, which is left at its first value."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _read(file: IO[bytes], size: int, path: Path) -> bytes:
    try:
        data = file.read(size)
    except _DAMAGED as error:
        raise _damaged(path, f"is damaged ({error})") from error
    if len(data) != size:
        raise _damaged(path, "ends early")
    return data


def _damaged(path: Path | str | os.PathLike[str], what: str) -> CrossDError:
    return CrossDError(f"A .npz file must be whole, '{path}' {what}. Download it again.")
