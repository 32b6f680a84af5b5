"""The public data sets by name, and the labels.csv that is made of one: paths, labels, patients and splits or folds."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from crossd.data.delimited import write_table
from crossd.data.sets import (
    brats21,
    busv,
    class_folders,
    enhanced_medmnist,
    hippocampus_parts,
    ixi,
    lung_adenocarcinoma,
    mosmed,
    ribfrac,
)
from crossd.data.sets.facts import DatasetFacts, Found, ReleasedCase, deviations
from crossd.data.sets.medmnist import INFO, find_medmnist, medmnist_facts
from crossd.data.splits import check_fractions, check_patients, stratified_split, with_validation
from crossd.errors import CrossDError, one_of

_FRACTIONS = (0.7, 0.15, 0.15)  # of train, val and test

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """A named data set: what is known of it, and `find(root, output_dir, **options) -> Found`.

    It raises a `CrossDError` where options are unknown, or files are missing or not as they were published.
    """

    facts: DatasetFacts
    find: Callable[..., Found]

    @property
    def options(self) -> list[str]:
        """The keywords of `find`."""
        parameters = inspect.signature(self.find).parameters
        return [name for name, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY]


DATASETS: dict[str, Dataset] = {
    dataset.facts.name: dataset
    for dataset in (
        Dataset(brats21.FACTS, brats21.find_brats21),
        Dataset(mosmed.FACTS, mosmed.find_mosmed),
        Dataset(ixi.FACTS, ixi.find_ixi),
        Dataset(lung_adenocarcinoma.FACTS, lung_adenocarcinoma.find_lung_adenocarcinoma),
        Dataset(ribfrac.FACTS, ribfrac.find_ribfrac),
        Dataset(busv.FACTS, busv.find_busv),
        Dataset(enhanced_medmnist.FACTS, enhanced_medmnist.find_enhanced_medmnist),
        Dataset(class_folders.FACTS, class_folders.find_class_folders),
        Dataset(hippocampus_parts.FACTS, hippocampus_parts.find_hippocampus_parts),
        *(Dataset(medmnist_facts(name), partial(find_medmnist, name)) for name in INFO),
    )
}
"""A new set adds a module with FACTS and a `find` function, a line here and a preset in `configs/datasets`."""


def prepare_datalist(
    dataset: str,
    root: str | os.PathLike[str],
    output_dir: str | os.PathLike[str] | None = None,
    *,
    folds: int | None = None,
    fold: int | None = None,
    split_fractions: Sequence[float] = _FRACTIONS,
    seed: int = 0,
    **options: Any,
) -> Path:
    """Write the `labels.csv` of a public data set; volumes only where its files cannot be read in place.

    What differs from the official release or from the paper is logged as a warning.

    Args:
        dataset: a key of `DATASETS`.
        root: the folder with the files as published.
        output_dir: receives `labels.csv`, and volumes; by default `data/<dataset>` in the working directory.
        folds: k-fold cross-validation in place of a split: `labels_fold0.csv` …, one file each.
        fold: of the folds only this one, as `labels.csv`.
        split_fractions: shares of train, val and test where the release has no split.
        seed: of splits, folds, and whatever is random in a set.
        options: those of the data set (its `find` function's keywords); None leaves the default.

    Returns:
        The path of `labels.csv`, or of the first fold's file.

    Raises:
        CrossDError: an unknown data set or option, or missing or altered files.
    """
    one_of("dataset", dataset, sorted(DATASETS))
    known = DATASETS[dataset]
    options = {name: value for name, value in options.items() if value is not None}
    if options.get("download") is False:
        del options["download"]
    if "seed" in known.options:
        options["seed"] = seed
    if "download" in options and "download" not in known.options:
        raise CrossDError(f"{known.facts.title} cannot be downloaded by a program, got --download. {known.facts.get}")
    unknown = sorted(set(options) - set(known.options))
    if unknown:
        raise CrossDError(
            f"Options of {dataset}: {', '.join(known.options) or 'none'}; got {', '.join(unknown)}. Leave it out."
        )
    if fold is not None and folds is None:
        raise CrossDError(f"A fold is one of several, got --fold {fold} alone. Add --folds 5.")
    folder = Path("data", dataset) if output_dir is None else Path(output_dir)
    found = known.find(root, folder, **options)
    names = found.class_names or known.facts.class_names or tuple(sorted({str(case.label) for case in found.cases}))
    facts = replace(known.facts, class_names=names)
    if folds is not None and any(case.split for case in found.cases) and not any(case.patient for case in found.cases):
        found.notes.append(
            f"{facts.title} names no patients: folds may part what its official split keeps together. "
            "Every case counts as a patient."
        )
    if folds is None and "val" in {case.split for case in found.cases} and tuple(split_fractions) != _FRACTIONS:
        found.notes.append(f"{facts.title} has a split, which is kept: --split_fractions is not used.")
    for sentence in (*found.notes, *deviations(facts, found)):
        logger.warning(sentence)

    def write(name: str, cases: list[ReleasedCase]) -> Path:
        return write_labels(folder / name, cases, facts, found.image_column)

    if folds is None:
        return write("labels.csv", with_splits(found.cases, names, split_fractions, seed))
    if fold is not None:
        return write("labels.csv", with_fold(found.cases, names, folds, fold, seed))
    made = [with_fold(found.cases, names, folds, i, seed) for i in range(max(folds, 1))]
    paths = [write(f"labels_fold{i}.csv", cases) for i, cases in enumerate(made)]
    return paths[0]


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


def write_labels(
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
