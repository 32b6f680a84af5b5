"""The rows of a labels.csv: which columns it may have, and what each cell must hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crossd.cards.rules import CLASSIFICATION, SEGMENTATION
from crossd.data.case_table import image_columns
from crossd.data.delimited import Table, read_table
from crossd.errors import CrossDError

OWN_COLUMNS = ("case", "label", "patient", "split")
MASK_COLUMNS = ("case", "mask", "patient", "split")  # of segmentation, where a label map is the label
TASKS = (*CLASSIFICATION, SEGMENTATION)
NO_CLASS = "none"  # what a multilabel `label` says of a case that has none of the classes


@dataclass(frozen=True)
class LabelTable(Table):
    """A labels.csv as text.

    Attributes:
        image_columns: `("image",)` or `("image_1", …, "image_n")`, one per channel.
        class_columns: the 0/1 columns; empty where there is a column `label`.
    """

    image_columns: tuple[str, ...]
    class_columns: tuple[str, ...]


def read_label_table(path: str | Path, task: str) -> LabelTable:
    """Read a labels.csv and check its columns (not yet its values).

    Columns: `image` (or `image_1 … image_n`, one per channel), `label`, optionally `case`, `patient` and `split`. For
    `task="multilabel"`, instead of `label` one 0/1 column per class; for `task="segmentation"`, instead of it `mask`.
    They may be separated by comma, semicolon or tab.

    Raises:
        CrossDError: for an unknown task, a file that is missing, is no CSV or has no rows, and for missing, doubled or
            unknown columns.
    """
    path = Path(path)
    if task not in TASKS:
        raise CrossDError(f"task must be 'multiclass' or 'multilabel', got {task!r}. Example: --task multiclass.")
    if not path.is_file():
        raise CrossDError(f"labels must be a CSV file, got {path}, which is not there. Pass --labels FILE.csv.")
    try:
        table = read_table(path)
    except CrossDError as error:
        raise CrossDError(
            f"labels must be a CSV file in UTF-8, got {path}: {error.__cause__}. Save it as CSV (UTF-8)."
        ) from error
    images, classes = _check_columns(path, list(table.columns), task)
    if not table.rows:
        raise CrossDError(f"labels must have a row for each case, got none in {path} after the header. Add the cases.")
    count = len(table.columns)
    wrong = [(i, f"{width} values") for i, width in enumerate(table.widths) if width != count]
    table.refuse(f"A row must have a value for each of the {count} columns", wrong, "Quote values that hold commas.")
    return LabelTable(**vars(table), image_columns=images, class_columns=classes)


def _check_columns(path: Path, header: list[str], task: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The image columns and the class columns of a header."""
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        raise CrossDError(f"A column may appear once, got {doubled} more than once in {path}. Rename or drop one.")
    images = image_columns(header)
    if not images:
        raise CrossDError(
            f"labels need a column 'image', or 'image_1' to 'image_n' without gaps for several channels, got {header} "
            f"in {path}. Rename the columns."
        )
    own = MASK_COLUMNS if task == SEGMENTATION else OWN_COLUMNS
    others = tuple(name for name in header if name not in images and name not in own)
    if task == SEGMENTATION and ("mask" not in header or others):
        raise CrossDError(
            f"Cases with masks have the columns {', '.join(images + own)}, image and mask at least, got {header} in "
            f"{path}. Rename, add or drop columns."
        )
    if task == SEGMENTATION:
        return images, ()
    if "label" in header and others:
        raise CrossDError(
            f"The columns of labels are {', '.join(images + OWN_COLUMNS)}, got the unknown {list(others)} in {path}. "
            "Drop them; for one 0/1 column per class drop the column 'label' and pass --task multilabel."
        )
    if "label" not in header and (task == "multiclass" or not others):
        hint = "Add it; for one 0/1 column per class pass --task multilabel."
        raise CrossDError(f"labels need a column 'label', got {header} in {path}. {hint}")
    return images, others
