"""CSV files of cases, with labels or without: which columns they may have, and what each cell must hold."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crossd.cards.rules import SEGMENTATION
from crossd.cards.tasks import TASKS as OF_VOLUMES
from crossd.data.delimited import Table, read_table
from crossd.data.names import safe_name, unique_names
from crossd.data.volume import VOLUME_SUFFIXES, split_volume
from crossd.errors import CrossDError

OWN_COLUMNS = ("case", "label", "patient", "split")
MASK_COLUMNS = ("case", "mask", "patient", "split")  # of segmentation, where a label map is the label
TASKS = (*OF_VOLUMES, SEGMENTATION)
Columns = Mapping[str, str | Sequence[str] | None]
NO_CLASS = "none"  # what a multilabel `label` says of a case that has none of the classes


def read_case_table(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Items of a CSV. Relative paths start at its folder; other columns are ignored; `;` and tab may separate cells.

    `FILE@NUMBER` is one volume of a 4D file, counted from 0: as several cases, or as the channels of one.

    A row whose files are missing becomes an item with an `error`.

    Raises:
        CrossDError: no such columns, no rows, a repeated case name, or not a text file.
    """
    path = Path(path)
    table = read_table(path, "A list of cases")
    channels, rows = _checked_images(path, table.columns), table.rows
    if not rows:
        raise CrossDError(f"A list of cases needs at least one row: '{path}' has a header only. Add the images.")
    sources = [[resolve_cell(path.parent, row[column]) for column in channels] for row in rows]
    try:
        root = os.path.commonpath([os.path.dirname(images[0]) for images in sources if images[0]])
    except ValueError:  # other drives, or no paths at all
        root = os.path.dirname(os.path.abspath(path))
    columns = zip(channels, zip(*sources, strict=True), strict=True)
    missing = [missing_files(table, column, images) for column, images in columns]
    items = []
    for index, (name, images) in enumerate(zip(case_names(table, sources, root), sources, strict=True)):
        place, empty = f"line {table.lines[index]} of '{path}'", [c for c in channels if not rows[index][c]]
        absent = next((of_column[index] for of_column in missing if index in of_column), None)
        wrong = None
        if empty:
            wrong = f"Every channel needs an image: '{empty[0]}' is empty in {place}. Fill it."
        elif absent:
            wrong = (
                f"An image file or DICOM folder must exist: '{absent}' ({place}) does not. Correct the path; relative "
                "ones start at the folder of the CSV."
            )
        items.append({"case": name, "source": images[0], "image": images, "warnings": [], "error": wrong})
    return items


def _checked_images(path: Path, columns: Sequence[str]) -> tuple[str, ...]:
    """The image columns of a header, which names each column once."""
    doubled = sorted({name for name in columns if list(columns).count(name) > 1})
    if doubled:
        raise CrossDError(f"A column may appear once, got {doubled} more than once in {path}. Rename or drop one.")
    images = image_columns(columns)
    if not images:
        raise CrossDError(
            "A list of cases needs a column 'image', or columns 'image_1', 'image_2', … without gaps, one per channel: "
            f"'{path}' has {', '.join(map(repr, columns)) or 'no header'}. Rename its columns; "
            "classifiers are trained with --image NAME too."
        )
    return images


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


def resolve_cell(folder: Path, cell: str) -> str:
    r"""The path that a cell names, from the folder where it is relative; `""` for an empty one.

    A list that was written on Windows says `a\b.nii`; where there is no file of that name, `b.nii` in `a` is meant.
    """
    path = os.path.normpath(os.path.join(os.path.abspath(folder), os.path.expanduser(cell))) if cell else ""
    if "\\" in cell and os.sep == "/" and not on_a_drive(cell) and not os.path.exists(split_volume(path)[0]):
        return resolve_cell(folder, cell.replace("\\", "/"))
    return path


def on_a_drive(cell: str) -> bool:
    r"""Whether a path names a drive or a machine of Windows, as in `C:\a.nii`, `C:/a.nii` or `\\server\a.nii`.

    >>> on_a_drive("C:/a.nii"), on_a_drive("\\\\server\\a.nii"), on_a_drive("a/C.nii")
    (True, True, False)
    """
    return re.match(r"[A-Za-z]:[\\/]|\\\\", cell) is not None


def missing_files(table: Table, column: str, paths: Sequence[str]) -> dict[int, str]:
    """The rows whose path, of `resolve_cell`, leads nowhere, and what to say of it."""
    drive = "{} (on a drive of Windows, which this machine has not: copy it here and write where it is)"
    return {
        index: drive.format(row[column]) if os.sep == "/" and on_a_drive(row[column]) else path
        for index, (row, path) in enumerate(zip(table.rows, paths, strict=True))
        if path and not os.path.exists(split_volume(path)[0])
    }


def case_names(table: Table, sources: Sequence[Sequence[str]], root: str | Path) -> list[str]:
    """The column `case`, or else the paths of the first channels below a root.

    Raises:
        CrossDError: naming every row without a name, or with one that is, as a file name, that of another row.
    """
    if "case" not in table.columns:
        return unique_names(stem(os.path.relpath(images[0], root)) if images[0] else "empty" for images in sources)
    names = [safe_name(row["case"]) if row["case"] else "" for row in table.rows]
    counts = Counter(name.casefold() for name in names)
    wrong = [(i, name or "no name") for i, name in enumerate(names) if not name or counts[name.casefold()] > 1]
    table.refuse("Every case needs a name of its own", wrong, "Rename them, or drop the column 'case'.")
    return names


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


@dataclass(frozen=True)
class LabelTable(Table):
    """A labels.csv as text."""

    image_columns: tuple[str, ...]  # ("image",) or ("image_1", …, "image_n"), one per channel
    class_columns: tuple[str, ...]  # the 0/1 columns; empty where there is a column `label`


def read_label_table(
    path: str | Path, task: str, classes: Sequence[str] | None = None, columns: Columns | None = None
) -> LabelTable:
    """Read a labels.csv and check its columns (not yet its values).

    Columns: `image` (or `image_1 … image_n`, one per channel), `label`, optionally `case`, `patient` and `split`. For
    `task="multilabel"`, instead of `label` one 0/1 column per class; for `task="segmentation"`, instead of it `mask`;
    for `task="regression"`, numbers in it, for `task="ordinal"` grades. They may be separated by comma, semicolon or
    tab. Other columns are kept in the rows.

    Args:
        classes: where they are known, the 0/1 columns; others are then further columns.
        columns: what the table calls `image` (several: one per channel), `label` and `patient`; None: that.

    Raises:
        CrossDError: for an unknown task, a file that is missing, is no CSV or has no rows, for missing or doubled
            columns, and for one whose name is nearly that of another that is not there.
    """
    path = Path(path)
    if task not in TASKS:
        raise CrossDError(
            f"task must be {' or '.join(map(repr, OF_VOLUMES))}, got {task!r}. Example: --task multiclass."
        )
    if not path.is_file():
        raise CrossDError(f"labels must be a CSV file, got {path}, which is not there. Pass --labels FILE.csv.")
    table = _renamed(read_table(path, "labels"), columns or {})
    images, of_classes = _check_columns(path, list(table.columns), task, classes)
    if not table.rows:
        raise CrossDError(f"labels must have a row for each case, got none in {path} after the header. Add the cases.")
    count = len(table.columns)
    wrong = [(i, f"{width} values") for i, width in enumerate(table.widths) if width != count]
    table.refuse(f"A row must have a value for each of the {count} columns", wrong, "Quote values that hold commas.")
    return LabelTable(**vars(table), image_columns=images, class_columns=of_classes)


def _renamed(table: Table, columns: Columns) -> Table:
    """The table with our names for its columns; one that had our name before is left out."""
    new: dict[str, str] = {}
    for name, given in columns.items():
        theirs = [given] if isinstance(given, str) else list(given or ())
        if absent := table.lacking(theirs):
            raise CrossDError(
                f"A column must be in the table, got --{name} {absent[0]!r}, and in {table.path} "
                f"{', '.join(map(repr, table.columns))}. Correct it."
            )
        new |= {one: name if len(theirs) == 1 else f"{name}_{i}" for i, one in enumerate(theirs, 1)}
    taken = {*new.values(), *(("image",) if "image_1" in new.values() else ())}
    kept = {name: new.get(name, name) for name in table.columns if name in new or name not in taken}
    rows = tuple({mine: row[name] for name, mine in kept.items()} for row in table.rows)
    names = tuple(new.get(name, name) for name in table.columns if name in kept)
    gone = len(table.columns) - len(names)
    return replace(table, columns=names, rows=rows, widths=tuple(width - gone for width in table.widths))


def _check_columns(
    path: Path, header: list[str], task: str, classes: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The image columns and the class columns of a header."""
    images = _checked_images(path, header)
    own = MASK_COLUMNS if task == SEGMENTATION else OWN_COLUMNS
    others = tuple(name for name in header if name not in images and name not in own)
    _refuse_nearly(path, others, [name for name in own if name not in header])
    if task == SEGMENTATION:
        if "mask" not in header:
            raise CrossDError(
                f"Cases with masks have the columns {', '.join(images + own)}, image and mask at least, got {header} "
                f"in {path}. Rename or add columns."
            )
        return images, ()
    if "label" in header:
        return images, ()
    if task != "multilabel" or not others:
        hint = "Add it, or say what it is called: --label NAME; for a 0/1 column per class pass --task multilabel."
        raise CrossDError(f"labels need a column 'label', got {header} in {path}. {hint}")
    missing = [str(name) for name in classes or () if str(name) not in others]
    if missing:
        raise CrossDError(
            f"Every class needs its 0/1 column, got none of {missing} in {path}. Add it, or --classes less."
        )
    return images, others if classes is None else tuple(map(str, classes))


def _refuse_nearly(path: Path, others: Sequence[str], absent: Sequence[str]) -> None:
    """Refuse `Split` or `patient_id` where there is no `split` or `patient`: it would be passed over without a word."""
    for name in others:
        plain = re.sub(r"[^a-z]", "", name.casefold())
        near = difflib.get_close_matches(plain, absent, 1, cutoff=0.85)
        if near or (plain in ("patientid", "subject", "subjectid") and "patient" in absent):
            raise CrossDError(
                f"A column that looks like one that is read must be it, got {name!r} in {path}, and no "
                f"{near[0] if near else 'patient'!r}. Rename it to that, or to something else; or say what it is "
                "called, as by --patient."
            )
