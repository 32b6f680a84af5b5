"""The files that a DICOMDIR lists, which is the table of contents of a DICOM disk (PS3.10, 8; PS3.3, F)."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from crossd.data.dicom.headers import DICOMDIR
from crossd.data.dicom.objects import Rejected
from crossd.errors import CrossDError


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
