"""The files below a folder: every one once, and none that would keep a run waiting."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from crossd.data.dicom.headers import DICOM_SUFFIXES
from crossd.data.dicom.objects import Rejected
from crossd.data.volume import VOLUME_SUFFIXES


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
            subfolders[:] = sorted((name for name in subfolders if not _hidden(name)), key=natural)
            paths = (os.path.join(directory, name) for name in sorted(names, key=natural) if not _hidden(name))
            for path in paths:
                if os.path.isfile(path) or not os.path.exists(path):
                    yield path
                elif path.lower().endswith((*VOLUME_SUFFIXES, *DICOM_SUFFIXES)):  # others of its kind are no images
                    unreadable.append(Rejected(path, no_file(path)))

    return list(walk()), unreadable


def no_file(path: str | os.PathLike[str]) -> str:
    """What to say of a path that is there and neither a file nor a folder."""
    return f"An image must be a file or a folder: '{Path(path)}' is a pipe, socket or device. Copy it to a file."


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key by which `2` comes before `10`.

    >>> sorted(["a10", "a2"], key=natural)
    ['a2', 'a10']
    """
    return [
        (int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", text)
    ]


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
