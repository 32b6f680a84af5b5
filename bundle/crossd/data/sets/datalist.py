"""The labels.csv of a data set: paths, labels, patients and splits or folds, as `crossd.data.read_labels` takes it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from crossd.data.delimited import write_table
from crossd.data.sets.facts import DatasetFacts, ReleasedCase
from crossd.data.splits import check_fractions, check_patients, stratified_split, with_validation
from crossd.errors import CrossDError


def with_splits(
    cases: Sequence[ReleasedCase],
    class_names: Sequence[str],
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
) -> list[ReleasedCase]:
    """Cases with a split each, no patient in two.

    Official splits are kept; a release without validation cases gives up `val / (train + val)` of its training
    patients. A release without splits is split by `fractions`, stratified by class.

    Raises:
        CrossDError: fractions that do not sum to 1, too few patients, or a release with a patient in two splits.
    """
    share = check_fractions(fractions)
    patients, classes = _patients(cases), _indices(cases, class_names)
    given = [case.split for case in cases]
    if not any(given):
        splits = stratified_split(patients, classes, share, seed)
    elif not all(given):
        raise CrossDError(
            f"Either all cases have an official split or none, got {given.count('')} of {len(given)} without. "
            "Put the files of every split into --root, or make folds with --folds."
        )
    else:
        splits = with_validation(given, patients, classes, share, seed)
    check_patients(patients, splits)
    return [replace(case, split=split) for case, split in zip(cases, splits, strict=True)]


def with_fold(
    cases: Sequence[ReleasedCase], class_names: Sequence[str], folds: int, fold: int, seed: int = 0
) -> list[ReleasedCase]:
    """Cases of k-fold cross-validation: fold i tests, the next one validates, the others train. No patient is in two.

    Official splits are not used.

    Raises:
        CrossDError: fewer than three folds, a fold that is not there, or fewer patients than folds.

    >>> cases = [ReleasedCase((f"{i}.nii",), "ab"[i % 2]) for i in range(12)]
    >>> [[case.images[0] for case in with_fold(cases, "ab", 3, i) if case.split == "test"].__len__() for i in range(3)]
    [4, 4, 4]
    """
    if folds < 3 or not 0 <= fold < folds:
        raise CrossDError(
            f"Folds are three or more (test, validation, training), numbered from 0, got fold {fold} of {folds}. "
            "Example: --folds 5 --fold 0."
        )
    shares = {str(i): 1 / folds for i in range(folds)}
    parts = stratified_split(_patients(cases), _indices(cases, class_names), shares, seed)
    names = {str(fold): "test", str((fold + 1) % folds): "val"}
    return [replace(case, split=names.get(part, "train")) for case, part in zip(cases, parts, strict=True)]


def write_datalist(
    path: str | os.PathLike[str], cases: Sequence[ReleasedCase], facts: DatasetFacts, image_column: str = "image"
) -> Path:
    """Write the cases, and give the path back. Paths below the folder of the file are relative to it, others absolute.

    Columns: case (where named), `image_column` or image_1 … image_n, label (or one 0/1 column a class), patient (where
    named), split.
    """
    path = Path(path)
    channels = {len(case.images) for case in cases}
    if len(channels) != 1:
        raise CrossDError(
            f"All cases have the same channels, got {sorted(channels) or 'no case'} in {facts.title}. Check --root."
        )
    count = channels.pop()
    columns = [image_column] if count == 1 else [f"image_{i + 1}" for i in range(count)]
    named, patients = any(case.name for case in cases), any(case.patient for case in cases)
    header = [*["case"][:named], *columns, *(facts.class_names if facts.multilabel else ["label"])]
    rows = []
    folder = path.parent.absolute()
    for case in cases:
        row = [case.name][:named] + [_path(image, folder) for image in case.images]
        row += [str(int(c in case.label)) for c in facts.class_names] if facts.multilabel else [str(case.label)]
        rows.append([*row, *[case.patient or case.name or str(case.images[0])][:patients], case.split])
    write_table(path, [*header, *["patient"][:patients], "split"], rows)
    return path


def _path(image: str | Path, folder: Path) -> str:
    absolute = Path(os.path.abspath(image))
    return absolute.relative_to(folder).as_posix() if absolute.is_relative_to(folder) else str(absolute)


def _patients(cases: Sequence[ReleasedCase]) -> list[str]:
    return [case.patient or f"case {index}" for index, case in enumerate(cases)]


def _indices(cases: Sequence[ReleasedCase], class_names: Sequence[str]) -> list[list[int]]:
    return [[list(class_names).index(label) for label in case.labels] for case in cases]
