"""Which cases each fold trains, validates and is measured on: a labels.csv a fold."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossd.cards.tasks import task_of
from crossd.data.class_counts import class_counts
from crossd.data.numbers import tell_numbers, value_kinds
from crossd.data.splits import SPLITS, check_fractions, stratified_folds, with_validation
from crossd.errors import CrossDError, counted
from crossd.training.run_files import write_datalist

logger = logging.getLogger(__name__)
Case = dict[str, Any]


def parted(
    cases: Mapping[str, Any],
    folds: int,
    repeats: int = 1,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
) -> list[list[Case]]:
    """The cases of each fold, with `split`: its test cases are no other fold's of the same repeat.

    Folds are by patient and stratified by class, or by fifths of a number. Of the others `val / (train + val)` of
    `fractions` validate, so that the epoch is chosen without the test cases.

    Args:
        cases: of `crossd.data.read_labels`, those of "train" and "val" are parted; "test" has no part in any fold.
        folds: 2 or more.
        repeats: how often all are parted anew.
        seed: of the first repeat.

    Returns:
        `folds * repeats` lists.

    Raises:
        CrossDError: for less than 2 folds or 1 repeat, a class with fewer patients than folds, and fewer than two
            patients a fold where a number is predicted.

    >>> rows = [{"case": str(i), "patient": str(i), "label": i % 2} for i in range(8)]
    >>> made = parted({"class_names": ["a", "b"], "train": rows, "val": []}, folds=4)
    >>> [[case["split"] for case in fold].count("test") for fold in made]
    [2, 2, 2, 2]
    """
    if folds < 2 or repeats < 1:
        raise CrossDError(
            f"Cross-validation needs 2 folds and 1 repeat or more, got --folds {folds} --repeats {repeats}. "
            "Example: --folds 5."
        )
    every = [*cases["train"], *cases["val"]]
    patients, names = [case["patient"] for case in every], cases["class_names"]
    if task_of(cases.get("task")).classifies:
        classes = [_classes(case["label"]) for case in every]
    else:
        _check_patients(patients, folds)
        names, classes = [], [[kind] for kind in value_kinds([case["label"] for case in every], patients, folds)]
    of_class = [{who for who, found in zip(patients, classes, strict=True) if k in found} for k in range(len(names))]
    few = [f"{name!r} ({len(who)})" for name, who in zip(names, of_class, strict=True) if len(who) < folds]
    if few:
        raise CrossDError(
            f"Each fold is measured on every class, so a class needs {counted(folds, 'patient')} or more, got fewer "
            f"of {', '.join(few)}. Add cases, or pass fewer --folds."
        )
    kinds = [" ".join(map(str, found)) for found in classes]
    made = []
    for repeat in range(repeats):
        fold_of = np.array(stratified_folds(patients, kinds, folds, seed + repeat))
        for fold in range(folds):
            splits = ["test" if found == fold else "train" for found in fold_of]
            splits = with_validation(splits, patients, classes, check_fractions(fractions), seed + repeat)
            made.append([{**case, "split": split} for case, split in zip(every, splits, strict=True)])
    return made


def _check_patients(patients: Sequence[str], folds: int) -> None:
    if len({*patients}) < 2 * folds:
        raise CrossDError(
            f"Folds of a regression need two patients each or more, {2 * folds}, got {len({*patients})}. Add cases, or "
            "pass fewer --folds."
        )


def _classes(label: int | Sequence[int]) -> list[int]:
    return [label] if isinstance(label, int) else [index for index, one in enumerate(label) if one]


def write_parts(path: Path, cases: Sequence[Case], class_names: Sequence[str]) -> None:
    """Write the labels.csv of a fold, and log how many of each class are in each split."""
    write_datalist(path, cases, class_names)
    if any(isinstance(case["label"], float) for case in cases):
        tell_numbers(
            class_names[0], {split: [case for case in cases if case["split"] == split] for split in SPLITS}, str(path)
        )
        return
    labels = {split: [case["label"] for case in cases if case["split"] == split] for split in SPLITS}
    for name, counts in class_counts(class_names, labels).items():
        logger.info("%s: %s", name, ", ".join(f"{count} {split}" for split, count in counts.items()))
