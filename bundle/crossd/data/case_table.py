"""A CSV of cases: a column `image`, or `image_1 … image_n` with one channel each, and optionally `case`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossd.data.case_names import safe_name, unique_names
from crossd.data.delimited import Table, read_table
from crossd.data.volume import VOLUME_SUFFIXES, split_volume
from crossd.errors import CrossDError


def read_case_table(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Items of a CSV. Relative paths start at its folder; other columns are ignored; `;` and tab may separate cells.

    `FILE@NUMBER` is one volume of a 4D file, counted from 0: as several cases, or as the channels of one.

    A row whose files are missing becomes an item with an `error`.

    Raises:
        CrossDError: no such columns, no rows, a repeated case name, or not a text file.
    """
    path = Path(path)
    table = read_table(path, "A list of cases")
    channels, rows = image_columns(table.columns), table.rows
    if not channels or len(set(table.columns)) < len(table.columns):
        raise CrossDError(
            "A list of cases needs a column 'image', or columns 'image_1', 'image_2', … without gaps, one per channel: "
            f"'{path}' has {', '.join(map(repr, table.columns)) or 'no header'}. Rename its columns."
        )
    if not rows:
        raise CrossDError(f"A list of cases needs at least one row: '{path}' has a header only. Add the images.")
    sources = [[_resolve(path.parent, row[column]) for column in channels] for row in rows]
    names = _case_names(table, sources)
    items = []
    for number, row, images, name in zip(table.lines, rows, sources, names, strict=True):
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


def image_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """`image`, or `image_1` to `image_n`, as a header has them; nothing where it has both, neither, or gaps.

    >>> image_columns(["case", "image_2", "image_1"]), image_columns(["image_1", "image_3"])
    (('image_1', 'image_2'), ())
    """
    numbered = sorted((name for name in columns if re.fullmatch(r"image_\d+", name)), key=lambda name: int(name[6:]))
    whole = numbered == [f"image_{index + 1}" for index in range(len(numbered))]
    if ("image" in columns) == bool(numbered) or not whole:
        return ()
    return tuple(numbered) or ("image",)


def _resolve(folder: Path, cell: str) -> str:
    return os.path.normpath(os.path.join(os.path.abspath(folder), os.path.expanduser(cell))) if cell else ""


def _case_names(table: Table, sources: list[list[str]]) -> list[str]:
    """The column `case`, or else what distinguishes the paths of the first channels."""
    if "case" in table.columns:
        given = [safe_name(row["case"]) for row in table.rows]
        taken: set[str] = set()
        for line, row, name in zip(table.lines, table.rows, given, strict=True):
            if not row["case"] or name.casefold() in taken:
                raise CrossDError(
                    f"Case names must be given and unique as file names: '{table.path}' has {row['case']!r} in line "
                    f"{line}. Rename it, or drop the column 'case' to have names made from the paths."
                )
            taken.add(name.casefold())
        return given
    parents = [os.path.dirname(images[0]) for images in sources if images[0]]
    try:
        root = os.path.commonpath(parents)
    except ValueError:  # other drives, or no paths at all
        root = os.path.dirname(os.path.abspath(table.path))
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
