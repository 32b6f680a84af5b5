"""The files below a folder, or that a DICOMDIR lists: every one once, and none that would keep a run waiting."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePath

from crossd.data.dicom.headers import DICOM_SUFFIXES, DICOMDIR
from crossd.data.dicom.non_scans import Rejected
from crossd.data.volume import VOLUME_SUFFIXES
from crossd.errors import CrossDError


def files_below(folder: str | os.PathLike[str]) -> tuple[list[str], list[Rejected]]:
    """All files below a folder in natural order, links followed once, hidden ones left out.

    Returns:
        The files, links to nowhere among them; and folders that may not be read, and pipes, sockets and devices that
        are named as images: to open one may take forever.
    """
    unreadable: list[Rejected] = []
    seen: set[str] = set()

    def refused(error: OSError) -> None:
        reason = f"A folder must be readable: '{error.filename}' is not ({error.strerror}). Change its permissions."
        unreadable.append(Rejected(str(error.filename), reason))

    def walk() -> Iterator[str]:
        for directory, subfolders, names in os.walk(folder, followlinks=True, onerror=refused):
            real = os.path.realpath(directory)
            if real in seen:  # a link back, or to what is listed already
                subfolders.clear()
                continue
            seen.add(real)
            subfolders[:] = sorted((name for name in subfolders if not hidden(name)), key=natural)
            paths = (os.path.join(directory, name) for name in sorted(names, key=natural) if not hidden(name))
            for path in paths:
                if os.path.isfile(path) or not os.path.exists(path):
                    yield path
                elif path.lower().endswith((*VOLUME_SUFFIXES, *DICOM_SUFFIXES)):  # others of its kind are no images
                    unreadable.append(Rejected(path, no_file(path)))

    return list(walk()), unreadable


def no_file(path: str | os.PathLike[str]) -> str:
    """What to say of a path that is there and neither a file nor a folder."""
    return f"An image must be a file or a folder: '{Path(path)}' is a pipe, socket or device. Copy it to a file."


def unusable(path: str) -> str | None:
    """Why a file cannot be read, as far as its folder says it; None where nothing is wrong."""
    try:
        size = os.stat(path).st_size
    except OSError as error:  # a link to nowhere, too
        return f"An image file must exist: '{path}' does not ({error.strerror}). Check the path, or copy it again."
    if not os.access(path, os.R_OK):
        return f"An image file must be readable: '{path}' is not. Change its permissions."
    return None if size else f"An image file must not be empty: '{path}' has 0 bytes. Copy it again."


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key by which `2` comes before `10`.

    >>> sorted(["a10", "a2"], key=natural)
    ['a2', 'a10']
    """
    return [
        (int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", text)
    ]


def hidden(name: str) -> bool:
    """Whether a name, or a folder on the way to it, is hidden or one of macOS's copies.

    >>> hidden("CXR/1.png"), hidden("CXR/._1.png"), hidden("__MACOSX/1.png")
    (False, True, True)
    """
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def is_dicomdir(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a DICOMDIR, by its content."""
    from pydicom.filereader import read_file_meta_info

    try:
        return str(read_file_meta_info(path).get("MediaStorageSOPClassUID", "")) == DICOMDIR
    except Exception:  # not DICOM
        return False


def read_dicomdir(path: str | os.PathLike[str]) -> tuple[list[str], list[Rejected]]:
    """What the records of a DICOMDIR refer to by ReferencedFileID (0004,1500).

    Returns:
        The files that are there, in the order of the records, and those that are not, or that lie outside of the
        DICOMDIR's folder: these are not opened.

    Raises:
        CrossDError: a DICOMDIR that is damaged, or lists no files.
    """
    from pydicom import dcmread
    from pydicom.multival import MultiValue

    path = Path(path)
    folder = os.path.realpath(path.parent)
    try:
        records = dcmread(path).get("DirectoryRecordSequence") or []
        parts = [record.get("ReferencedFileID") for record in records if record.get("ReferencedFileID")]
    except Exception as error:  # pydicom raises whatever the damaged bytes lead it to
        raise CrossDError(
            f"A DICOMDIR must be readable: '{path}' is not ({error}). Pass its folder instead, where files are found "
            "without it."
        ) from error
    if not parts:
        raise CrossDError(f"A DICOMDIR must list files: '{path}' lists none. Pass its folder instead.")
    files: list[str] = []
    rejected: list[Rejected] = []
    for listed in dict.fromkeys(
        tuple(item) if isinstance(item, (MultiValue, list)) else (str(item),) for item in parts
    ):
        name = os.path.join(*map(str, listed))
        file = os.path.realpath(os.path.join(folder, name))
        if not PurePath(file).is_relative_to(folder):
            reason = (
                f"A DICOMDIR lists files below its own folder: '{name}' leads out of '{folder}'. It is not opened; "
                "pass that file itself if you trust it."
            )
            rejected.append(Rejected(str(path), reason))
        elif not os.path.isfile(file):
            reason = (
                f"A file that a DICOMDIR lists must be there: '{name}' is not in '{folder}'. "
                "Copy the whole disk, or pass its folder, where files are found by their content."
            )
            rejected.append(Rejected(file, reason))
        else:
            files.append(file)
    return files, rejected
