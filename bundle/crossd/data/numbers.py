"""Labels that are numbers to be predicted: what a table must say, what they are like, and how cases are shared out."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crossd.data.case_table import Columns, LabelTable
from crossd.data.names import is_missing
from crossd.errors import CrossDError

logger = logging.getLogger(__name__)
BINS = 5  # of equally many patients, by which splits and folds are made alike
MANY = 10  # different whole numbers, of which some may still be classes
UNNAMED = "value"  # what a number is called that the table calls `label`


def target_name(classes: Sequence[str] | None, columns: Columns | None) -> str:
    """What the number is called: as the one of `classes` says, else as the table does.

    >>> target_name(None, {"label": "volume_ml"}), target_name(["age"], None), target_name(None, None)
    ('volume_ml', 'age', 'value')
    """
    if classes is not None and len(classes) != 1:
        raise CrossDError(
            f"A regression predicts one number, got {len(classes)} --classes ({', '.join(map(str, classes))}). Leave "
            "them out, or name the number alone: --classes volume_ml."
        )
    named = (columns or {}).get("label")
    return str(classes[0] if classes else named or UNNAMED)


def numbers_of(table: LabelTable) -> list[float]:
    """The column `label` as numbers, with a point or a comma before decimals, in one way in all of them.

    Raises:
        CrossDError: naming every row without a number, or with one that is not finite.
    """
    cells = [row["label"].strip() for row in table.rows]
    empty = [(i, repr(cell) if cell else "nothing") for i, cell in enumerate(cells) if is_missing(cell)]
    table.refuse("Every case needs a number to be predicted", empty, "Fill it or drop the row.")
    values = [_number(cell) for cell in cells]
    wrong = [(i, repr(cell)) for i, (cell, value) in enumerate(zip(cells, values, strict=True)) if math.isnan(value)]
    table.refuse(
        "A number to be predicted must be one, without unit or thousands separator",
        wrong,
        "Correct it; for classes leave out --task regression.",
    )
    commas = [(i, repr(cell)) for i, cell in enumerate(cells) if "," in cell]
    if any("." in cell for cell in cells):
        table.refuse("Numbers have decimal points, or all of them commas", commas, "Write them in one way.")
    return values


def refuse_numbers(table: LabelTable, between: bool = False) -> None:
    """Refuse labels of classes that are numbers to be predicted: many, and hardly any of them twice.

    Args:
        between: numbers that are not whole are refused, too, however few there are.

    Raises:
        CrossDError: for such labels.
    """
    said = [row["label"] for row in table.rows if row.get("label")]
    try:
        numbers = {float(label.replace(",", ".")) for label in said}
    except ValueError:
        return
    broken = any(number != int(number) for number in numbers if np.isfinite(number))
    if (between and broken) or (len(numbers) > MANY and len(said) < 3 * len(numbers)):
        raise CrossDError(
            f"Classes are told apart, got {len(numbers)} different numbers as labels of {len(said)} cases in "
            f"{table.path} ({', '.join(said[:3])}, …): to predict a number, pass --task regression. For classes make "
            "groups of the numbers, such as 'low' and 'high', or name the numbers that are classes by --classes."
        )


def _number(text: str) -> float:
    """nan for what is no finite number."""
    try:
        value = math.nan if "_" in text else float(text.replace(",", "."))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def value_kinds(values: Sequence[float], patients: Sequence[str], parts: int) -> list[int]:
    """Of each case the quantile bin of its patient's mean, for what shares out classes among splits or folds.

    Args:
        values: of each case.
        patients: of each case.
        parts: splits or folds, of whose number each bin has patients at least.

    >>> value_kinds([1, 2, 3, 4, 5, 60], ["a", "a", "b", "c", "d", "e"], parts=2)
    [0, 0, 0, 0, 1, 1]
    """
    groups: dict[str, list[float]] = {}
    for value, patient in zip(values, patients, strict=True):
        groups.setdefault(patient, []).append(value)
    means = {patient: float(np.mean(found)) for patient, found in groups.items()}
    bins = max(1, min(BINS, len(means) // parts))
    cuts = np.quantile([*means.values()], np.arange(1, bins) / bins)
    return [int(np.searchsorted(cuts, means[patient])) for patient in patients]


def target_of(cases: Sequence[Mapping[str, Any]], where: str) -> dict[str, float]:
    """What the numbers of training cases are like: `mean`, and `scale`, their standard deviation.

    Raises:
        CrossDError: for numbers that are all the same, or so large that nothing can be told of them.

    >>> target_of([{"label": 1.0}, {"label": 3.0}], "labels.csv")
    {'mean': 2.0, 'scale': 1.0}
    """
    values = np.array([case["label"] for case in cases], float)
    if len({*values.tolist()}) < 2:
        raise CrossDError(
            f"A regression needs training cases of at least two values, got only "
            f"{', '.join(f'{value:g}' for value in values[:1]) or 'no cases'} in {where}. Add cases of another value."
        )
    mean, scale = float(values.mean()), float(values.std())
    if not (math.isfinite(scale) and scale > 1e-6 * abs(mean)):
        raise CrossDError(
            f"Numbers to be predicted must differ by more than rounding, got a mean of {mean:g} and a standard "
            f"deviation of {scale:g} in {where}. Subtract what is common to all, or use another unit."
        )
    return {"mean": mean, "scale": scale}


def tell_numbers(name: str, by_split: Mapping[str, Sequence[Mapping[str, Any]]], where: str) -> None:
    """Log what the numbers of each split are like."""
    lines = [f"{split}: {words_of([case['label'] for case in cases])}" for split, cases in by_split.items() if cases]
    logger.info("%s in %s:\n%s", name, where, "\n".join(lines))


def words_of(values: Sequence[float]) -> str:
    """Count, range, mean and standard deviation of numbers.

    >>> words_of([1.0, 2.0, 3.0])
    '3 cases, 1 to 3, mean 2, standard deviation 0.8165'
    """
    found = np.asarray(values, float)
    return (
        f"{len(found)} cases, {found.min():.4g} to {found.max():.4g}, mean {found.mean():.4g}, standard deviation "
        f"{found.std():.4g}"
    )
