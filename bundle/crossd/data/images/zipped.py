"""A zip file of class folders, read in place."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from crossd.data.images.decoding import decode
from crossd.data.images.folders import class_folders
from crossd.data.images.sources import ImageSource
from crossd.errors import CrossDError


class ZipSource(ImageSource):
    """The images of a zip file, without unpacking it.

    Nothing is ever written, so no name in the zip can lead out of a folder; names that would (`../x`, `/x`) are refused
    all the same, since such a file was made to do harm. Every process opens the file for itself: a handle that a
    `DataLoader` worker inherits shares its position with the others, and they would read each other's bytes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with zipfile.ZipFile(f"{folder}/images.zip", "w") as file:
    ...         file.writestr("ct/1.png", b"")
    ...         file.writestr("mr/1.png", b"")
    ...     ZipSource(Path(folder) / "images.zip").class_names
    ['ct', 'mr']
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: tuple[int, zipfile.ZipFile] | None = None
        files, folders = names_in_zip(path)
        self.class_names, self.records, self.test_records, self.notes = class_folders(files, folders, str(path))

    def read(self, name: str, channels: int = 1) -> np.ndarray:
        return decode(self._archive().read(name), channels)

    def _archive(self) -> zipfile.ZipFile:
        if self._open is None or self._open[0] != os.getpid():
            self._open = (os.getpid(), zipfile.ZipFile(self.path))
        return self._open[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}


def names_in_zip(path: Path) -> tuple[list[str], list[str]]:
    """The names of the files and of the folders in a zip file, each checked.

    Raises:
        CrossDError: for a file that is no whole zip, has a password, or names that lead out of it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise CrossDError(
            f"A zip file of images must be whole, got {path}: {error}. Download or copy it again."
        ) from error
    for entry in entries:
        _check(entry, path)
    files = sorted(entry.filename for entry in entries if not entry.is_dir())
    return files, sorted(entry.filename.rstrip("/") for entry in entries if entry.is_dir())


def _check(entry: zipfile.ZipInfo, path: Path) -> None:
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or (name.parts and ":" in name.parts[0]):
        raise CrossDError(
            f"Names in a zip file stay inside it, got {entry.filename!r} in {path}. Do not use this file; make it "
            "again from the images."
        )
    if entry.flag_bits & 1:
        raise CrossDError(
            f"A zip file of images has no password, got {entry.filename} encrypted in {path}. Unpack it and zip it "
            "without one."
        )
