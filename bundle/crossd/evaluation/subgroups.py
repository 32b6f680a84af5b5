"""How good a classifier is in groups of cases: of each sex, of thirds of the age, of each scanner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from crossd.cards.tasks import task_of
from crossd.data.class_counts import FEW
from crossd.errors import CrossDError
from crossd.evaluation.intervals import with_intervals
from crossd.evaluation.predictions import Predictions

MOST = 6  # values of a column of numbers that are groups as they are; of more there are thirds
FIGURES = ("auc", "sensitivity", "specificity")


def groups_of(values: Sequence[str]) -> dict[str, list[int]]:
    """The cases of each value; of many different numbers, those of each third. Empty cells are "unknown".

    >>> groups_of(["F", "M", "F", ""])
    {'F': [0, 2], 'M': [1], 'unknown': [3]}
    >>> [*groups_of([str(age) for age in range(20, 50)])]
    ['20 to 29', '30 to 39', '40 to 49']
    """
    numbers = {}
    for value in {value for value in values if value}:
        try:
            numbers[value] = float(value)
        except ValueError:
            break
    if len(numbers) > MOST and {*numbers} == {*values} - {""}:
        places = np.array([numbers.get(value, np.nan) for value in values])
        cuts = np.nanquantile(places, [1 / 3, 2 / 3], method="lower")
        parts = [places <= cuts[0], (places > cuts[0]) & (places <= cuts[1]), places > cuts[1], np.isnan(places)]
        names = [f"{places[part].min():g} to {places[part].max():g}" if part.any() else "" for part in parts[:3]]
        members = zip([*names, "unknown"], parts, strict=True)
        return {name: np.flatnonzero(part).tolist() for name, part in members if part.any()}
    names = sorted({value for value in values if value}) + [""] * ("" in values)
    return {name or "unknown": [row for row, value in enumerate(values) if value == name] for name in names}


def check_column(rows: Iterable[Mapping[str, str]], column: str) -> None:
    """Refuse a column that the cases have not.

    Args:
        rows: of each case its further columns.
    """
    known = sorted({name for row in rows for name in row})
    if column not in known:
        raise CrossDError(
            f"Groups are those of a further column of the labels, got {column!r}; there are "
            f"{', '.join(known) or 'none'}. Choose one of these, or pass --labels with the table that has it."
        )


def subgroup_table(predictions: Predictions, column: str, samples: int = 1000, seed: int = 0) -> list[dict[str, Any]]:
    """Figures of each group of a column, with 95 % bootstrap intervals over its patients.

    Args:
        predictions: whose cases have the column.
        column: of labels.csv.
        samples, seed: of the bootstrap.

    Returns:
        Of each group `group`, `cases`, `patients`, `few` (which classes have fewer than `FEW` cases in it), and `auc`,
        `sensitivity` and `specificity` at the operating point (of several classes `auc` and `balanced_accuracy`, of
        grades `quadratic_kappa`, `mae` and `bias`, of a regression `r2`, `mae` and `bias`), each `value`, `low` and
        `high`, None where it is not defined.

    Raises:
        CrossDError: for a column that the cases have not.
    """
    check_column(predictions.columns, column)
    names = FIGURES if predictions.point.positive is not None else ("auc", "balanced_accuracy")
    task = task_of(predictions.task)
    classifies = task.classifies
    if task.ordered or not classifies:
        names = ("quadratic_kappa" if task.ordered else "r2", "mae", "bias")
    rows = []
    for group, members in groups_of([row.get(column, "") for row in predictions.columns]).items():
        part = predictions.take(members)
        each = part.targets.sum(0).tolist() if classifies else [len(members)]
        counts = zip(part.class_names, each, strict=True)
        entry = {"group": group, "cases": len(members), "patients": len({*part.patients})}
        entry |= {"few": [f"{name} ({count:.0f})" for name, count in counts if count < FEW]}
        found = with_intervals(part, samples, seed)
        entry |= {name: found[name] for name in names}
        rows.append(entry)
    return rows
