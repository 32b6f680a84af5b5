"""What a path holds, as a list of cases: every scan once, and a reason for everything that cannot be one."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossd.data.case_table import read_case_table, stem
from crossd.data.dicom import Rejected, find_series
from crossd.data.dicom.pixels import check_tilt
from crossd.data.dicom.series import Series
from crossd.data.dicom.straightening import TILT
from crossd.data.folders import files_below, is_dicomdir, natural, read_dicomdir, unusable
from crossd.data.names import unique_names
from crossd.data.volume import VOLUME_SUFFIXES, header_of, split_volume
from crossd.errors import CrossDError, one_of

logger = logging.getLogger(__name__)


def find_cases(
    path: str | os.PathLike[str] | None, series: str | Sequence[str] | None = None, tilt: str = "correct"
) -> list[dict[str, Any]]:
    """List the cases under a path.

    Args:
        path: a NIfTI, NRRD or MetaImage file (`FILE@NUMBER` for one volume of a 4D file); a DICOM file; a DICOMDIR, for
            the files that it lists; a folder, searched with all folders below it, where every image file and every
            DICOM series is one case; or a CSV (see `read_case_table`). Hidden files and files that are neither are
            ignored.
        series: which DICOM series are meant, by description (`*` and `?` as in file names), modality or UID; a text or
            a list of texts, see `crossd.data.dicom.selection.SeriesFilter`. None for all. Other formats and the rows of
            a CSV are cases anyway; of a folder that a row names, `read_volume` chooses the series.
        tilt: "refuse" makes a series of a tilted gantry an error; "correct" lets `read_volume` correct it.

    Returns:
        Items for MONAI data sets, in the order of their paths:

        - `case`: unique name, safe as a file name, made from the path below the one given and, for DICOM, from
          SeriesNumber and SeriesDescription; never from the patient's name
        - `source`: path to show
        - `image`: list of channel sources for `LoadImageVolumed`, paths or `Series`
        - `warnings`: list of texts
        - `error`: None, or why this file cannot be a case
        - `skipped`: True, and only there, where `error` says why something is no scan (localizers, screenshots,
          reports, objects without pixels; counted by folder and kind), so that nothing is lost by passing over it

    Raises:
        CrossDError: no path, nothing there, nothing that could be an image, or a series filter that fits nothing.

    >>> import tempfile
    >>> find_cases(tempfile.mkdtemp())
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: A folder must hold images: ... is empty. Pass a folder with NIfTI or DICOM files in it.
    """
    if path is None:
        raise CrossDError("The images must be named: no path was given. Pass --images PATH, a file, a folder or a CSV.")
    path = Path(os.path.abspath(os.path.expanduser(path)))
    file, volume = split_volume(path)
    if volume is not None and not path.exists():
        chosen = f"{file}@{volume}"
        return [{**item, "source": chosen, "image": [chosen]} for item in find_cases(file, series, tilt)]
    path = Path(header_of(str(path)))
    if not path.exists():
        raise CrossDError(f"The path of the images must exist: '{path}' does not. Check it; quote it if it has blanks.")
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv", ".xlsx"):
        return read_case_table(path)
    one_of("tilt", tilt, TILT)
    if not path.is_file():  # a pipe is not opened
        files, unreadable = files_below(path)
    else:
        files, unreadable = read_dicomdir(path) if is_dicomdir(path) else ([str(path)], [])
    volumes = [file for file in files if file.lower().endswith(VOLUME_SUFFIXES)]
    others = [file for file in files if not file.lower().endswith(VOLUME_SUFFIXES)]
    found_series, rejected = find_series(others, series, localizers=files == [str(path)])
    root = path.parent if path.is_file() else path
    found = [
        *((file, stem(_below(file, root)), [file], [], unusable(file), "") for file in volumes),
        *(
            (item.folder, _series_name(item, root), [item], [*item.warnings], _refused(item, tilt), "")
            for item in found_series
        ),
        *(
            (item.path, _rejected_name(item, root), [item.path], [], item.reason, item.kind * path.is_dir())
            for item in (*rejected, *unreadable, *_halves(others, found_series, rejected))
        ),
    ]
    if not found:
        _raise_nothing_found(path, files)
    found.sort(key=lambda entry: (natural(entry[0]), natural(entry[1])))
    names = unique_names(entry[1] for entry in found)
    for _, _, _, _, reason, kind in found:
        if kind:
            logger.info(reason)
    return [
        {"case": name, "source": source, "image": image, "warnings": warnings, "error": error}
        | ({"skipped": True} if kind else {})
        for name, (source, _, image, warnings, error, kind) in zip(names, found, strict=True)
    ]


def _below(file: str, root: Path) -> str:
    """The path below the root; the root's own name for the root itself."""
    inner = os.path.relpath(file, root)
    return root.name if inner == "." else inner


def _series_name(series: Series, root: Path) -> str:
    parts = [stem(_below(series.folder, root))]
    parts += [str(series.number)] if series.number else []
    parts += [text.replace("/", "_") for text in (series.description, series.split) if text]
    return "-".join(parts)


def _rejected_name(item: Rejected, root: Path) -> str:
    name = stem(_below(item.path, root))
    return f"{name}-{item.kind}" if item.kind and os.path.isdir(item.path) else name


def _halves(files: Sequence[str], series: Sequence[Series], rejected: Sequence[Rejected]) -> list[Rejected]:
    """Voxels without the header of their pair: a scan that would be lost without a word."""
    taken = {file for item in series for file in item.files} | {item.path for item in rejected}
    alone = (file for file in files if file.lower().endswith((".img", ".img.gz")) and header_of(file) == file)
    rule = "A pair needs both files: '{}' is there without its header, a .hdr of the same name. Copy it too."
    return [Rejected(file, rule.format(file)) for file in alone if file not in taken]


def _refused(series: Series, tilt: str) -> str | None:
    try:
        check_tilt(series, tilt)
    except CrossDError as error:
        return str(error)
    return None


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
