"""Arrays of a .npz file, one row at a time: memory holds a row, whatever the size of the file; and MedMNIST's files."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np

from crossd.errors import CrossDError

# What zipfile, zlib and numpy raise for damaged bytes, an unknown method of packing, or an archive with a password.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, struct.error, TokenError)


@dataclass(frozen=True)
class NpzArray:
    """One array of a .npz file, not loaded: rows are along the first axis of its `shape`."""

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool = False

    def rows(self) -> Iterator[np.ndarray]:
        """The rows in order, each `shape[1:]`; an array in Fortran order is read as a whole."""
        if self.fortran_order:
            yield from self.load()
            return
        size = self.dtype.itemsize * prod(self.shape[1:])
        with _stream(self.path, self.key) as (file, _):
            _header(file)
            for _ in range(self.shape[0]):
                data = file.read(size)
                if len(data) != size:
                    raise EOFError("it ends early")
                yield np.ndarray(self.shape[1:], self.dtype, data)

    def load(self) -> np.ndarray:
        """All of it."""
        with _stream(self.path, self.key) as (file, _):
            return np.lib.format.read_array(file, allow_pickle=False)


def npz_keys(path: str | os.PathLike[str]) -> list[str]:
    """The names of the arrays in a file."""
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
        CrossDError: no such array; Python objects, which are not read for safety; or a header that cannot be read or
            declares another size than the array has.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.npz"
    >>> np.savez(path, images=np.arange(6).reshape(3, 2))
    >>> [row.tolist() for row in npz_array(path, "images").rows()]
    [[0, 1], [2, 3], [4, 5]]
    """
    path = Path(path)
    if key not in (keys := npz_keys(path)):
        raise CrossDError(f"'{path}' must hold the array {key!r}, got {', '.join(keys) or 'none'}. Check the file.")
    with _stream(path, key) as (file, size):
        shape, fortran_order, dtype = _header(file)
        size -= file.tell()
    if dtype.hasobject:
        raise CrossDError(
            f"Arrays of numbers are read, '{path}' holds Python objects in {key!r}, which could run any code. "
            "Save it again with np.savez(file, images=np.stack(images), labels=labels), where you trust it."
        )
    if size != dtype.itemsize * prod(shape):
        raise _damaged(path, f"declares {key!r} with shape {shape} and {dtype}, which is not what its bytes hold")
    return NpzArray(path, key, shape, dtype, fortran_order)


def load_small(path: str | os.PathLike[str], key: str) -> np.ndarray:
    """An array as a whole, for labels; errors as of `npz_array`."""
    return npz_array(path, key).load()


def medmnist_split(path: str | os.PathLike[str], split: str, spatial_dims: int) -> tuple[NpzArray, np.ndarray]:
    """Images and labels of one split of a MedMNIST file (Yang et al., MedMNIST v2, Scientific Data 2023).

    Args:
        path: a `.npz` with the arrays `{train,val,test}_images` and `{train,val,test}_labels`.
        split: "train", "val" or "test".
        spatial_dims: 3 for volumes, 2 for images.

    Returns:
        Images `(N, depth, height, width)`, or `(N, height, width)` or `(N, height, width, 3)`, not loaded; and labels
        `(N,)`, `(N, 1)` or `(N, classes)`.

    Raises:
        CrossDError: an array is missing or of another shape, or there is not one label an image.
    """
    keys = npz_keys(path)
    missing = [key for key in (f"{split}_images", f"{split}_labels") if key not in keys]
    if missing:
        raise CrossDError(
            f"A MedMNIST file holds {{train,val,test}}_images and _labels: '{path}' lacks {', '.join(missing)} and has "
            f"{', '.join(keys)}. Write the arrays under these names."
        )
    images, labels = npz_array(path, f"{split}_images"), load_small(path, f"{split}_labels")
    coloured = spatial_dims == 2 and len(images.shape) == 4 and images.shape[3] in (1, 3)
    if len(images.shape) != spatial_dims + 1 + coloured or labels.ndim < 1 or len(labels) != images.shape[0]:
        axes = "(N, depth, height, width)" if spatial_dims == 3 else "(N, height, width) or (N, height, width, 3)"
        raise CrossDError(
            f"{split}_images of {spatial_dims}D images is {axes}, with one label each: '{path}' has shape "
            f"{images.shape} and {len(np.atleast_1d(labels))} labels. Take the other kind of config or set, or correct "
            "the file."
        )
    return images, labels


@contextmanager
def _stream(path: Path, key: str) -> Iterator[tuple[IO[bytes], int]]:
    """The `.npy` of an array and its size in bytes; damage that shows while it is read is named with the file."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
            yield file, archive.getinfo(f"{key}.npy").file_size
    except _DAMAGED as error:
        raise _damaged(path, f"is damaged ({error})") from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype of a `.npy` stream, which is left at its first value."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _damaged(path: Path, what: str) -> CrossDError:
    return CrossDError(f"A .npz file must be whole, '{path}' {what}. Download it again.")
