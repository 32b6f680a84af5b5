"""A CSV of cases: a column `image`, or `image_1 … image_n` with one channel each, and optionally `case`."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import Any

from crossd.data.case_names import safe_name, unique_names
from crossd.data.volume_files import VOLUME_SUFFIXES, split_volume
from crossd.errors import CrossDError


def read_case_table(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Items of a CSV. Relative paths start at its folder; other columns are ignored; `;` and tab may separate cells.

    `FILE@NUMBER` is one volume of a 4D file, counted from 0: as several cases, or as the channels of one.

    A row whose files are missing becomes an item with an `error`.

    Raises:
        CrossDError: no such columns, no rows, a repeated case name, or not a text file.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # Excel writes a byte order mark
            header = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=header.count)
            reader = csv.DictReader(file, delimiter=delimiter)
            columns = [(name or "").strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = [
                {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)} for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CrossDError(
            f"A list of cases must be a readable CSV in UTF-8: '{path}' is not ({error}). Save it as CSV (UTF-8)."
        ) from error
    channels = _channel_columns(path, columns)
    if not rows:
        raise CrossDError(f"A list of cases needs at least one row: '{path}' has a header only. Add the images.")
    sources = [[_resolve(path.parent, row[column]) for column in channels] for row in rows]
    names = _case_names(path, rows, sources)
    items = []
    for number, (row, images, name) in enumerate(zip(rows, sources, names, strict=True), start=2):
        wrong = None
        for column, image in zip(channels, images, strict=True):
            if not row[column]:
                wrong = f"Every channel needs an image: '{column}' is empty in line {number} of '{path}'. Fill it."
            elif not os.path.exists(split_volume(image)[0]):
                wrong = (
                    f"An image file or DICOM folder must exist: '{image}' (line {number} of '{path}') does not. "
                    "Correct the path; relative ones start at the folder of the CSV."
                )
            if wrong:
                break
        items.append({"case": name, "source": images[0], "image": images, "warnings": [], "error": wrong})
    return items


def _channel_columns(path: Path, columns: list[str]) -> list[str]:
    numbered = sorted((name for name in columns if re.fullmatch(r"image_\d+", name)), key=lambda name: int(name[6:]))
    expected = [f"image_{index + 1}" for index in range(len(numbered))]
    if ("image" in columns) == bool(numbered) or numbered != expected or len(set(columns)) < len(columns):
        raise CrossDError(
            "A list of cases needs a column 'image', or columns 'image_1', 'image_2', … without gaps, one per channel: "
            f"'{path}' has {', '.join(repr(name) for name in columns) or 'no header'}. Rename its columns."
        )
    return numbered or ["image"]


def _resolve(folder: Path, cell: str) -> str:
    return os.path.normpath(os.path.join(os.path.abspath(folder), os.path.expanduser(cell))) if cell else ""


def _case_names(path: Path, rows: list[dict[str, str]], sources: list[list[str]]) -> list[str]:
    """The column `case`, or else what distinguishes the paths of the first channels."""
    if "case" in rows[0]:
        given = [safe_name(row["case"]) for row in rows]
        taken: set[str] = set()
        for index, (row, name) in enumerate(zip(rows, given, strict=True)):
            if not row["case"] or name.casefold() in taken:
                raise CrossDError(
                    f"Case names must be given and unique as file names: '{path}' has {row['case']!r} in line "
                    f"{index + 2}. Rename it, or drop the column 'case' to have names made from the paths."
                )
            taken.add(name.casefold())
        return given
    parents = [os.path.dirname(images[0]) for images in sources if images[0]]
    try:
        root = os.path.commonpath(parents)
    except ValueError:  # other drives, or no paths at all
        root = os.path.dirname(os.path.abspath(path))
    return unique_names(stem(os.path.relpath(images[0], root)) if images[0] else "empty" for images in sources)


def stem(path: str) -> str:
    """A path without its image suffix.

    >>> stem("a/b.c.nii.gz"), stem("a/b.nii@2")
    ('a/b.c', 'a/b_2')
    """
    path, volume = split_volume(path)
    if volume is not None:
        return f"{stem(path)}_{volume}"
    for suffix in sorted((*VOLUME_SUFFIXES, ".dcm"), key=len, reverse=True):
        if path.lower().endswith(suffix):
            return path[: -len(suffix)]
    return path
