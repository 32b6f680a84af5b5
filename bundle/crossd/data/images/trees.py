"""Folders and zip files of images: the names of what is in them, and the bytes of each file, read in place."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from crossd.errors import CrossDError


class FolderTree:
    """A folder and all below it, also through links.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "ct").mkdir()
    ...     _ = (Path(folder) / "ct" / "1.png").write_bytes(b"one")
    ...     FolderTree(Path(folder)).listed(), FolderTree(Path(folder)).read("ct/1.png")
    ((['ct/1.png'], ['.', 'ct']), b'one')
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def listed(self) -> tuple[list[str], list[str]]:
        """The files and the folders, the empty ones too, sorted: relative to the tree and with `/`."""
        walked = [(Path(f).relative_to(self.path), names) for f, _, names in os.walk(self.path, followlinks=True)]
        files = ((folder / name).as_posix() for folder, names in walked for name in names)
        return sorted(files), sorted(folder.as_posix() for folder, _ in walked)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return (self.path / name).read_bytes()


class ZipTree:
    """The same of a zip file, without unpacking it.

    Nothing is ever written, so no name in the zip can lead out of a folder; names that would (`../x`, `/x`) are refused
    all the same, since such a file was made to do harm. Every process opens the file for itself: a handle that a
    `DataLoader` worker inherits shares its position with the others, and they would read each other's bytes.

    `listed` raises a `CrossDError` for a file that is no whole zip, has a password, or names that lead out of it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with zipfile.ZipFile(f"{folder}/images.zip", "w") as file:
    ...         file.writestr("ct/1.png", b"one")
    ...     tree = ZipTree(Path(folder) / "images.zip")
    ...     tree.listed(), tree.read("ct/1.png")
    ((['ct/1.png'], []), b'one')
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: tuple[int, zipfile.ZipFile] | None = None

    def listed(self) -> tuple[list[str], list[str]]:
        """As `FolderTree.listed`; folders without an entry of their own are not named."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, OSError) as error:
            raise CrossDError(
                f"A zip file of images must be whole, got {self.path}: {error}. Download or copy it again."
            ) from error
        for entry in entries:
            _check(entry, self.path)
        files = sorted(entry.filename for entry in entries if not entry.is_dir())
        return files, sorted(entry.filename.rstrip("/") for entry in entries if entry.is_dir())

    def read(self, name: str) -> bytes:
        """The content of a file."""
        if self._open is None or self._open[0] != os.getpid():
            self._open = (os.getpid(), zipfile.ZipFile(self.path))
        return self._open[1].read(name)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}


ImageTree = FolderTree | ZipTree


def tree_of(path: Path) -> ImageTree:
    """A folder or a zip file as a tree."""
    return FolderTree(path) if path.is_dir() else ZipTree(path)


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
