"""The labelled cases of a probe, checked for what cross-validation needs; and columns of the table as features."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossd.cards.covariates import Covariates, columns_of, figures_of
from crossd.cards.tasks import REGRESSION
from crossd.data import read_labels
from crossd.data.case_table import Columns, read_label_table, resolve_cell
from crossd.data.names import is_missing
from crossd.data.numbers import refuse_numbers
from crossd.errors import CrossDError, counted
from crossd.probe.outcomes import patients_of_classes

logger = logging.getLogger(__name__)


def labelled_cases(
    images: str | None,
    labels: str | None,
    task: str = "multiclass",
    classes: Sequence[str] | None = None,
    allow_untested: bool = False,
    folds: int = 5,
    columns: Columns | None = None,
) -> dict[str, Any]:
    """What `crossd.data.read_labels` says of a labels.csv, without a split of its own; "train" has those of "val" too.

    Raises:
        CrossDError: see `read_labels`; for labels that are numbers to be predicted unless the task is "regression", and
            for a class, or numbers, with too few patients to be chosen and measured by cross-validation.
    """
    if labels is None:
        raise CrossDError("A probe needs labelled cases, got no labels. Pass --labels FILE.csv.")
    if folds < 2:
        raise CrossDError(f"Cross-validation needs 2 folds or more, got {folds}. Pass --folds 5.")
    if task == "multiclass" and classes is None:
        refuse_numbers(read_label_table(labels, task, columns=columns), between=True)
    found = read_labels(
        images,
        labels,
        task=task,
        classes=classes,
        split_fractions=None,
        allow_untested=allow_untested,
        columns=columns,
    )
    found["train"] = [*found["train"], *found.pop("val")]
    if task == REGRESSION:
        _check_numbers(found["train"], labels, folds)
    else:
        _check_classes(found, labels, folds)
    return found


def _check_classes(found: Mapping[str, Any], labels: str, folds: int) -> None:
    """Choosing needs two patients of each class; measuring by folds one more."""
    names, training = found["class_names"], found["train"]
    targets = one_hot([case["label"] for case in training], len(names))
    needed = 2 if found["test"] else 3
    each = patients_of_classes(targets, [case["patient"] for case in training])
    few = [
        f"{name!r} ({counted(len(who), 'patient')})" for name, who in zip(names, each, strict=True) if len(who) < needed
    ]
    if few:
        raise CrossDError(
            f"Nested cross-validation needs {needed} patients or more of each class to choose and to measure, got in "
            f"{labels} {', '.join(few)}. Add cases of it, or leave the class out."
        )
    fewest = min(map(len, each))
    if fewest < folds:
        logger.warning("the rarest class has %d patients: there are at most as many folds, not %d", fewest, folds)


def _check_numbers(training: Sequence[Mapping[str, Any]], labels: str, folds: int) -> None:
    """Choosing within all but one fold needs as many patients there."""
    patients = {case["patient"] for case in training}
    if len(patients) < 2 * folds:
        raise CrossDError(
            f"Nested cross-validation of {folds} folds needs {2 * folds} patients or more to choose and to measure, "
            f"got {len(patients)} in {labels}. Add cases, or pass fewer --folds."
        )


def one_hot(labels: Sequence[float | int | Sequence[int]], classes: int) -> np.ndarray:
    """Labels as `read_labels` gives them → 0 or 1 `(cases, classes)`; numbers to be predicted as they are `(cases, 1)`.

    >>> one_hot([1, [1, 0]], 2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    rows = [np.eye(classes)[label] if isinstance(label, int) else np.array(label, float) for label in labels]
    return np.array(rows).reshape(-1, classes)


def column_features(
    covariates: Sequence[str],
    images: str | None,
    labels: str,
    task: str,
    classes: Sequence[str],
    cases: Sequence[Any],
    columns: Columns | None = None,
) -> tuple[Covariates, np.ndarray]:
    """Columns of a labels.csv as features `(cases, features)`: numbers as they are, texts as 0 and 1 for each value.

    Returns:
        What the columns hold, without coefficients yet, and the features.

    Raises:
        CrossDError: for a column that is not there, and for cells without a value.
    """
    table = read_label_table(labels, task, classes, columns)
    if absent := table.lacking(covariates):
        raise CrossDError(
            f"Columns of a baseline must be in the labels, got no {', '.join(map(repr, absent))} in {labels}, which "
            f"has {', '.join(map(repr, table.columns))}. Correct --covariates."
        )
    empty = [(i, f"no {name}") for i, row in enumerate(table.rows) for name in covariates if is_missing(row[name])]
    table.refuse("Every case needs a value in the columns of the baseline", empty, "Fill it, or leave out the column.")
    folder = (Path(images) if images is not None else Path(labels).parent).absolute()
    rows = {tuple(resolve_cell(folder, row[name]) for name in table.image_columns): row for row in table.rows}
    of_case = [rows[tuple(case["image"])] for case in cases]
    found, called = columns_of(of_case, covariates), (columns or {}).get("image") or table.image_columns
    figures = np.array([figures_of(found, row) for row in of_case])
    return Covariates(task, found, [], [], [called] if isinstance(called, str) else list(called)), figures
