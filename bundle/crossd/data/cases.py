"""What a path holds, as a list of cases: every scan once, and a reason for everything that cannot be one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossd.data.case_names import unique_names
from crossd.data.case_table import read_case_table, stem
from crossd.data.dicom import Rejected, find_series
from crossd.data.dicom.series import Series
from crossd.data.volume_files import VOLUME_SUFFIXES
from crossd.errors import CrossDError


def find_cases(path: str | os.PathLike[str] | None) -> list[dict[str, Any]]:
    """List the cases under a path.

    Args:
        path: a NIfTI, NRRD or MetaImage file; a DICOM file; a folder, searched with all folders below it, where every
            image file and every DICOM series is one case; or a CSV (see `read_case_table`). Hidden files and files that
            are neither are ignored.

    Returns:
        Items for MONAI data sets, in the order of their paths:

        - `case`: unique name, safe as a file name, made from the path below the one given and, for DICOM, from
          SeriesNumber and SeriesDescription; never from the patient's name
        - `source`: path to show
        - `image`: list of channel sources for `LoadImageVolumed`, paths or `Series`
        - `warnings`: list of texts
        - `error`: None, or why this file cannot be a case

    Raises:
        CrossDError: no path, nothing there, or nothing that could be an image.

    >>> import tempfile
    >>> find_cases(tempfile.mkdtemp())
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: A folder must hold images: ... is empty. Pass a folder with NIfTI or DICOM files in it.
    """
    if path is None:
        raise CrossDError("The images must be named: no path was given. Pass --images PATH, a file, a folder or a CSV.")
    path = Path(os.path.abspath(os.path.expanduser(path)))
    if not path.exists():
        raise CrossDError(f"The path of the images must exist: '{path}' does not. Check it; quote it if it has blanks.")
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv"):
        return read_case_table(path)
    files, unreadable = ([str(path)], []) if path.is_file() else _walk(path)
    volumes = [file for file in files if file.lower().endswith(VOLUME_SUFFIXES)]
    series, rejected = find_series(file for file in files if not file.lower().endswith(VOLUME_SUFFIXES))
    root = path.parent if path.is_file() else path
    found = [
        *((file, stem(_below(file, root)), [file], [], _empty(file)) for file in volumes),
        *((item.folder, _series_name(item, root), [item], [*item.warnings], None) for item in series),
        *(
            (item.path, stem(_below(item.path, root)), [item.path], [], item.reason)
            for item in (*rejected, *unreadable)
        ),
    ]
    if not found:
        _raise_nothing_found(path, files)
    found.sort(key=lambda entry: (_natural(entry[0]), _natural(entry[1])))
    names = unique_names(entry[1] for entry in found)
    return [
        {"case": name, "source": source, "image": image, "warnings": warnings, "error": error}
        for name, (source, _, image, warnings, error) in zip(names, found, strict=True)
    ]


def _walk(folder: Path) -> tuple[list[str], list[Rejected]]:
    """All files below a folder in natural order, links followed once, hidden ones left out."""
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
            subfolders[:] = sorted((name for name in subfolders if not _hidden(name)), key=_natural)
            paths = (os.path.join(directory, name) for name in sorted(names, key=_natural) if not _hidden(name))
            yield from (path for path in paths if os.path.isfile(path) or os.path.islink(path))  # no pipes or devices

    return list(walk()), unreadable


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort key by which `2` comes before `10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", text)]


def _below(file: str, root: Path) -> str:
    """The path below the root; the root's own name for the root itself."""
    inner = os.path.relpath(file, root)
    return root.name if inner == "." else inner


def _series_name(series: Series, root: Path) -> str:
    parts = [stem(_below(series.folder, root))]
    parts += [str(series.number)] if series.number else []
    parts += [text.replace("/", "_") for text in (series.description, series.split) if text]
    return "-".join(parts)


def _empty(file: str) -> str | None:
    try:
        size = os.stat(file).st_size
        readable = os.access(file, os.R_OK)
    except OSError as error:  # a link to nowhere
        return f"An image file must exist: '{file}' cannot be opened ({error.strerror}). Copy it again."
    if not readable:
        return f"An image file must be readable: '{file}' is not. Change its permissions."
    return None if size else f"An image file must not be empty: '{file}' has 0 bytes. Copy it again."


def _raise_nothing_found(path: Path, files: list[str]) -> None:
    formats = f"DICOM, {', '.join(VOLUME_SUFFIXES)} or a CSV with a column 'image'"
    if path.is_file():
        raise CrossDError(f"The images must be {formats}: '{path}' is none of these. Convert it to NIfTI.")
    if not files:
        raise CrossDError(
            f"A folder must hold images: '{path}' is empty. Pass a folder with NIfTI or DICOM files in it."
        )
    raise CrossDError(
        f"A folder must hold images ({formats}): none of the {len(files)} files in '{path}' is one, for instance "
        f"'{os.path.relpath(files[0], path)}'. Pass the folder that holds the scans."
    )
