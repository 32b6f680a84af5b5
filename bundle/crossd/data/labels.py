"""From a labels.csv and a folder of images to the training, validation and test cases."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossd.cards.tasks import ORDINAL, REGRESSION, task_of
from crossd.data.case_table import (
    MASK_COLUMNS,
    NO_CLASS,
    OWN_COLUMNS,
    Columns,
    LabelTable,
    case_names,
    missing_files,
    read_label_table,
    resolve_cell,
)
from crossd.data.class_counts import check_counts, class_counts, tell_counts
from crossd.data.names import check_spelling, is_missing, several_spellings
from crossd.data.numbers import numbers_of, refuse_numbers, target_name, target_of, tell_numbers, value_kinds
from crossd.data.splits import SPLITS, check_fractions, check_patients, stratified_split, with_validation
from crossd.errors import CrossDError

logger = logging.getLogger(__name__)


def read_labels(
    images: str | Path | None,
    labels: str | Path | None,
    *,
    task: str = "multiclass",
    classes: Sequence[str] | None = None,
    split_fractions: Sequence[float] | None = (0.7, 0.15, 0.15),
    seed: int = 0,
    recorded_splits: str | Path | None = None,
    allow_untested: bool = False,
    columns: Columns | None = None,
) -> dict[str, Any]:
    """Read, check and split the cases of a labels.csv, and tell how many of each class are in each split.

    Args:
        images: folder that relative image paths start from; the folder of `labels` where it is None.
        labels: the table, CSV or .xlsx (columns: see `read_label_table`). None gives no cases, so that a config can be
            looked at without data.
        task: `"multiclass"` (one class per case), `"multilabel"` (any number; `label` separated by `;`, `none` for a
            case without any, or one 0/1 column per class), `"ordinal"` (a whole number, the grade), or `"regression"`
            (a number).
        classes: the classes in their order; other labels are then refused. Found in the file where it is None (numbers
            in numerical, other names in alphabetical order, 0/1 columns as they stand). Grades that are names need
            them, the lowest first. Of a regression the one name
            of the number; by default what the table calls `label`, else "value".
        split_fractions: shares of (train, val, test) where the file has no column `split`. A column that names no `val`
            case gives up the share `val / (train + val)` of its train patients. None: nothing is split; without a
            column `split` all cases are for training.
        seed: of the split.
        recorded_splits: `datalist.csv` of the run whose model is evaluated. Given, nothing is split anew: where the
            file has no column `split` its cases take the recorded one, and cases that are not recorded are test cases.
        allow_untested: a class may be without test cases where other classes have some.
        columns: what the table calls `image`, `label` and `patient`; see `read_label_table`.

    Returns:
        `{"task", "class_names", "channels", "train", "val", "test"}` (of a regression `target`, too, `mean` and `scale`
        of its training cases): the number of image columns, and the cases, each
        `{"case", "source", "image": [path per channel], "label", "patient", "split", "columns"}`. The label is a class
        index, for multilabel a list of 0 and 1, for regression a number, a float; `columns` has what else stands in
        the row, by name. Without a column `patient` each case is a patient of its own.

    Raises:
        CrossDError: naming every wrong row: missing image files, doubled images or case names, labels that are empty
            or say so (`nan`, `NA`), labels outside the classes, names in two spellings (`Yes` and `yes`, `0` and
            `0.0`), unknown splits, a patient in two splits; for a file with one class only, and a class without
            training or test cases; for grades that are no whole numbers without `classes`, or fewer than three; for
            labels of a regression that are no numbers, or all the same; for classes that are many numbers, hardly any
            of them twice, unless `classes` names them.
    """
    if labels is None:
        return {"task": task, "class_names": None, "channels": None, **{split: [] for split in SPLITS}}
    table = read_label_table(labels, task, classes, columns)
    if task == REGRESSION:
        return _numbered(images, table, target_name(classes, columns), split_fractions, seed, recorded_splits)
    if task == "multiclass" and classes is None and recorded_splits is None:
        refuse_numbers(table)
    names, targets = _targets(table, task, classes)
    folder = Path(images) if images is not None else table.path.parent
    cases = listed_cases(table, folder.absolute())
    for case, target in zip(cases, targets, strict=True):
        case["label"] = target
    indices = [[target] if isinstance(target, int) else [i for i, t in enumerate(target) if t] for target in targets]
    by_split = split_cases(table, cases, indices, split_fractions, seed, recorded_splits)
    if recorded_splits is None:
        if len({tuple(case) for case in indices}) < 2:
            only = names[indices[0][0]] if indices[0] else NO_CLASS
            raise CrossDError(
                f"A classifier needs cases of at least two classes, got only {only!r} in {table.path}. "
                "Add cases of another class."
            )
        used = [split for split in SPLITS if by_split[split] or split_fractions is not None]
        counts = class_counts(names, {split: [case["label"] for case in by_split[split]] for split in used})
        if split_fractions is not None or by_split["test"]:
            check_counts(counts, str(table.path), allow_untested)
        tell_counts(counts, str(table.path))
    return {"task": task, "class_names": names, "channels": len(table.image_columns), **by_split}


def _numbered(
    images: str | Path | None,
    table: LabelTable,
    name: str,
    split_fractions: Sequence[float] | None,
    seed: int,
    recorded_splits: str | Path | None,
) -> dict[str, Any]:
    """Those of a regression; `target` has mean and scale of the training cases, where there are any."""
    values = numbers_of(table)
    cases = listed_cases(table, (Path(images) if images is not None else table.path.parent).absolute())
    for case, value in zip(cases, values, strict=True):
        case["label"] = value
    kinds = value_kinds(values, [case["patient"] for case in cases], len(SPLITS))
    by_split = split_cases(table, cases, [[kind] for kind in kinds], split_fractions, seed, recorded_splits)
    tell_numbers(name, by_split, str(table.path))
    target = target_of(by_split["train"], str(table.path)) if recorded_splits is None else None
    return {
        **{"task": REGRESSION, "class_names": [name], "channels": len(table.image_columns)},
        **{"target": target, **by_split},
    }


def listed_cases(table: LabelTable, folder: Path) -> list[dict[str, Any]]:
    """Case name, source, image paths and patient of each row; every missing file is named at once."""
    named = [(i, row["patient"]) for i, row in enumerate(table.rows) if "patient" in row]
    nobody = [(i, repr(patient) if patient else "nothing") for i, patient in named if is_missing(patient)]
    table.refuse("Every case needs a patient", nobody, "Fill the cell, or drop the column 'patient'.")
    check_spelling(table, "A patient", [[row["patient"]] if "patient" in row else [] for row in table.rows], case=True)
    paths = [[resolve_cell(folder, row[column]) for column in table.image_columns] for row in table.rows]
    empty = [(i, f"no {c}") for i, row in enumerate(table.rows) for c in table.image_columns if not row[c]]
    table.refuse("Every case needs an image", empty, "Fill the cell or drop the row.")
    columns = zip(table.image_columns, zip(*paths, strict=True), strict=True)
    missing = sorted(found for name, images in columns for found in missing_files(table, name, images).items())
    table.refuse("Every image must exist", missing, f"Paths start from {folder}; pass --images DIR to change that.")
    keys = [tuple(case) for case in paths]
    first = {key: table.lines[i] for i, key in reversed(list(enumerate(keys)))}
    doubled = [
        (i, f"{key[0]}, also on line {first[key]}") for i, key in enumerate(keys) if first[key] != table.lines[i]
    ]
    table.refuse("Every image may be listed once", doubled, "Drop the other rows.")
    own = {*table.image_columns, *table.class_columns, *OWN_COLUMNS, *MASK_COLUMNS}
    further = [name for name in table.columns if name not in own]
    return [
        {
            "case": name,
            "source": key[0],
            "image": list(key),
            "patient": row.get("patient") or name,
            "columns": {column: row[column] for column in further},
        }
        for name, key, row in zip(case_names(table, paths, folder), keys, table.rows, strict=True)
    ]


def _targets(
    table: LabelTable, task: str, classes: Sequence[str] | None
) -> tuple[list[str], list[int] | list[list[int]]]:
    """Class names, and the class index (or list of 0 and 1) of each row."""
    if table.class_columns:
        bad = [
            (i, f"{c}={row[c]!r}")
            for i, row in enumerate(table.rows)
            for c in table.class_columns
            if row[c] not in "01" or not row[c]
        ]
        table.refuse("A class column must hold 0 or 1", bad, "Correct the values, or drop columns that are no class.")
        said = [[c for c in table.class_columns if row[c] == "1"] for row in table.rows]
    else:
        said = [_labels_of(row["label"], task) for row in table.rows]
        known = {str(c) for c in classes or ()}  # whoever names a class so means it
        empty = [
            (i, repr(row["label"]) if row["label"] else "nothing")
            for i, (row, labels) in enumerate(zip(table.rows, said, strict=True))
            if not row["label"].strip("; ") or any(is_missing(label) and label not in known for label in labels)
        ]
        remedy = (
            f"Write {NO_CLASS!r} for a case without any class." if task == "multilabel" else "Fill it or drop the row."
        )
        table.refuse("Every case needs a label", empty, f"{remedy} A class that is called so is named by --classes.")
    if task == ORDINAL and classes is None:
        _check_grades(table, said)
    names = [str(c) for c in classes] if classes is not None else _class_names(table, said)
    check_spelling(table, "A class", said)
    if twice := several_spellings(names):
        raise CrossDError(
            f"A class must be spelled in one way, got {twice[0]} in the classes of {table.path}. Rename one."
        )
    unknown = [(i, repr(label)) for i, labels in enumerate(said) for label in labels if label not in names]
    table.refuse(f"Every label must be one of {names}", unknown, "Correct the labels, or the classes that were given.")
    if (fewest := task_of(task).fewest) > len(names) and task == ORDINAL:
        raise CrossDError(
            f"Grades have an order, so there are {fewest} or more, got {', '.join(names)} in {table.path}. Leave out "
            "--task ordinal, or name all grades, the lowest first: --classes 0,1,2."
        )
    if task_of(task).exclusive:
        return names, [names.index(labels[0]) for labels in said]
    return names, [[int(name in labels) for name in names] for labels in said]


def _labels_of(text: str, task: str) -> list[str]:
    exclusive = task_of(task).exclusive
    if exclusive or text.lower() == NO_CLASS:
        return [text] * exclusive
    return [label.strip() for label in text.split(";") if label.strip()]


def _check_grades(table: LabelTable, said: Sequence[Sequence[str]]) -> None:
    """Grades without names must be whole numbers; what is missing between them is told."""
    wrong = [(i, repr(labels[0])) for i, labels in enumerate(said) if not labels[0].isdecimal()]
    remedy = "Write 2, not 2.0; for grades with names list them, the lowest first: --classes mild,moderate,severe."
    table.refuse("A grade must be a whole number", wrong, remedy)
    found = {int(labels[0]) for labels in said}
    if gaps := [str(grade) for grade in range(min(found), max(found)) if grade not in found]:
        logger.warning(
            "%s has no case of grade %s: a step is from one grade that there is to the next",
            *(table.path, ", ".join(gaps)),
        )


def _class_names(table: LabelTable, said: Sequence[Sequence[str]]) -> list[str]:
    """0/1 columns as they stand, numbers by value, other names by alphabet."""
    if table.class_columns:
        return list(table.class_columns)
    found = {label for labels in said for label in labels}
    return sorted(found, key=lambda label: (int(label), label)) if all(map(str.isdecimal, found)) else sorted(found)


def split_cases(
    table: LabelTable,
    cases: Sequence[dict[str, Any]],
    indices: Sequence[Sequence[int]],
    fractions: Sequence[float] | None,
    seed: int,
    recorded: str | Path | None,
) -> dict[str, list[dict[str, Any]]]:
    """Give each case its `split`, and list the cases by it; arguments as in `read_labels`."""
    patients = [case["patient"] for case in cases]
    share = None if fractions is None else check_fractions(fractions)
    if "split" in table.columns:
        splits = [row["split"].lower() for row in table.rows]
        wrong = [(i, repr(table.rows[i]["split"])) for i, split in enumerate(splits) if split not in SPLITS]
        table.refuse(f"split must be one of {', '.join(SPLITS)}", wrong, "Correct it, or drop the column 'split'.")
        check_patients(patients, splits)
        if recorded is None and "train" in splits and share is not None:
            splits = with_validation(splits, patients, indices, share, seed)
    elif share is None:
        splits = ["train"] * len(cases)
    elif recorded is None:
        splits = stratified_split(patients, indices, share, seed)
    else:
        known = _recorded(Path(recorded), "segmentation" if "mask" in table.columns else "multiclass")
        splits = [known.get(tuple(case["image"]), "test") for case in cases]
        check_patients(patients, splits)
    for case, split in zip(cases, splits, strict=True):
        case["split"] = split
    by_split = {split: [case for case in cases if case["split"] == split] for split in SPLITS}
    logger.info("%s: %s", table.path, ", ".join(f"{len(found)} {split}" for split, found in by_split.items()))
    return by_split


def _recorded(path: Path, task: str) -> dict[tuple[str, ...], str]:
    """The split of each case of a datalist, by its images; it always has a column `label`, or `mask`."""
    if not path.is_file():
        return {}
    table = read_label_table(path, task)
    return {tuple(row[c] for c in table.image_columns): row["split"] for row in table.rows}
