"""Which patients train, validate and test: by patient, stratified by class, the same for the same seed."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from crossd.errors import CrossDError

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
SPELLINGS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}


def split_called(name: str) -> str | None:
    """The split that a folder or an entry of a list is named after, however that is written; None for another name.

    >>> [split_called(name) for name in ("Train", "VALID", "testing", "CT")]
    ['train', 'val', 'test', None]
    """
    name = name.strip().casefold()
    return name if name in SPLITS else SPELLINGS.get(name)


def split_folders(folders: Iterable[str], beside: Iterable[str], where: str | os.PathLike[str]) -> dict[str, str]:
    """Which folders of one level are named after splits, and which one each.

    Raises:
        CrossDError: for splits beside others that hold something, and are classes where there are no splits.

    >>> split_folders(["Valid", "Train"], [], "there"), split_folders(["CT"], ["CT"], "there")
    ({'Train': 'train', 'Valid': 'val'}, {})
    """
    splits = {name: split for name in sorted(folders) if (split := split_called(name))}
    others = sorted({*beside} - set(splits))
    if splits and others:
        raise CrossDError(
            f"Folders are either splits (train, val, test) with the classes in them or classes, got "
            f"{', '.join(splits)} beside {', '.join(others)} in {where}. Move or remove one of the two; rename a class "
            "that is called like a split."
        )
    return splits


def check_fractions(fractions: Sequence[float]) -> dict[str, float]:
    """`(train, val, test)` fractions as a dictionary.

    >>> check_fractions([0.7, 0.1, 0.2])
    {'train': 0.7, 'val': 0.1, 'test': 0.2}

    Raises:
        CrossDError: unless there are three fractions >= 0 that sum to 1, with train and val above 0.
    """
    values = [float(f) for f in fractions]
    if len(values) != 3 or min(values) < 0 or abs(sum(values) - 1) > 1e-6 or not (values[0] > 0 and values[1] > 0):
        raise CrossDError(
            "split_fractions must be three numbers (train, val, test) that sum to 1, train and val above 0, "
            f"got {list(fractions)}. Example: --split_fractions '[0.7, 0.15, 0.15]'."
        )
    return dict(zip(SPLITS, values, strict=True))


def stratified_split(
    patients: Sequence[str], classes: Sequence[Sequence[int]], fractions: Mapping[str, float], seed: int = 0
) -> list[str]:
    """Give each case a split so that no patient is in two and each class is shared out by `fractions`.

    Iterative stratification over patients: the class with the fewest unplaced patients is placed first, each of its
    patients in the split that misses most of that class. No split with a positive fraction stays empty, or without a
    class of which there are as many patients as such splits.

    Source: Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011.

    Args:
        patients: patient of each case.
        classes: class indices of each case: one for multiclass, any number for multilabel.
        fractions: share of each split; they sum to 1.
        seed: decides among equals.

    Returns:
        The split of each case, in the order of `patients`.

    Raises:
        CrossDError: when there are fewer patients than splits.

    >>> splits = stratified_split(list("aabbccdd"), [[0]] * 4 + [[1]] * 4, {"train": 0.5, "val": 0.5})
    >>> sorted(splits[0::2]), splits[0::2] == splits[1::2]  # the two cases of a patient stay together
    (['train', 'train', 'val', 'val'], True)
    """
    names = [split for split, fraction in fractions.items() if fraction > 0]
    unique = sorted(set(patients))
    if len(unique) < len(names):
        raise CrossDError(
            f"Splitting needs at least {len(names)} patients, one for each of {names}, got {len(unique)}. "
            "Add patients, or a column 'split' that says what each case is for."
        )
    counts = _class_counts(patients, classes, unique)
    shares = np.array([fractions[name] for name in names])[:, None] * counts.sum(0)
    room = np.array([fractions[name] for name in names]) * len(patients)
    order = np.random.default_rng(seed).permutation(len(unique))
    placed: dict[int, int] = {}
    while len(placed) < len(unique):
        waiting = [patient for patient in order if patient not in placed]
        remaining = (counts[waiting] > 0).sum(0).astype(float)
        rarest = int(np.where(remaining > 0, remaining, np.inf).argmin())
        for patient in (p for p in waiting if counts[p, rarest] > 0):
            split = max(range(len(names)), key=lambda s: (shares[s, rarest], room[s]))
            placed[patient] = split
            shares[split] -= counts[patient]
            room[split] -= counts[patient].sum()
    _fill_empty(placed, counts, len(names), order)
    _reach_all(placed, counts[:, :-1], len(names), order)
    of_patient = {unique[patient]: names[split] for patient, split in placed.items()}
    return [of_patient[patient] for patient in patients]


def _class_counts(patients: Sequence[str], classes: Sequence[Sequence[int]], unique: Sequence[str]) -> np.ndarray:
    """Cases per patient and class `(patients, classes + 1)`; the last column counts the cases of no class."""
    number = max((c for case in classes for c in case), default=-1) + 1
    row = {patient: i for i, patient in enumerate(unique)}
    counts = np.zeros((len(unique), number + 1))
    for patient, case in zip(patients, classes, strict=True):
        for column in case or [number]:
            counts[row[patient], column] += 1
    return counts


def _fill_empty(placed: dict[int, int], counts: np.ndarray, number: int, order: np.ndarray) -> None:
    """Move one patient into each empty split, from the fullest split and of the class that it has most of."""
    for split in range(number):
        if split in placed.values():
            continue
        sizes = [list(placed.values()).count(s) for s in range(number)]
        donors = [patient for patient in order if placed[patient] == int(np.argmax(sizes))]
        commonest = int(counts[donors].sum(0).argmax())
        placed[max(donors, key=lambda p: counts[p, commonest])] = split


def _reach_all(placed: dict[int, int], counts: np.ndarray, number: int, order: np.ndarray) -> None:
    """Move one patient of a class into each split without that class, from the split that has most of its patients."""

    def missed(patient: int) -> int:
        """How many classes its split would lose with a patient."""
        beside = [other for other in placed if placed[other] == placed[patient]]
        return int((counts[patient][counts[beside].astype(bool).sum(0) == 1] > 0).sum())

    for column in counts.T:
        holders = [patient for patient in order if column[patient]]
        for split in range(number):
            sizes = [sum(placed[patient] == s for patient in holders) for s in range(number)]
            if not sizes[split] and max(sizes) > 1:
                donors = [patient for patient in holders if placed[patient] == int(np.argmax(sizes))]
                placed[min(donors, key=missed)] = split


def with_validation(
    splits: Sequence[str],
    patients: Sequence[str],
    classes: Sequence[Sequence[int]],
    share: Mapping[str, float],
    seed: int = 0,
) -> list[str]:
    """Where no case is for validation, `val / (train + val)` of the training patients become it.

    >>> with_validation(["train", "train", "test"], list("abc"), [[0]] * 3, {"train": 0.5, "val": 0.5}).count("val")
    1
    """
    if "val" in splits:
        return list(splits)
    train = [i for i, split in enumerate(splits) if split == "train"]
    part = share["val"] / (share["train"] + share["val"])
    fractions = {"train": 1 - part, "val": part}
    made = stratified_split([patients[i] for i in train], [classes[i] for i in train], fractions, seed)
    logger.info("No case has split 'val': %d of %d training cases validate", made.count("val"), len(train))
    new = dict(zip(train, made, strict=True))
    return [new.get(i, split) for i, split in enumerate(splits)]


def stratified_folds(patients: Sequence[str], kinds: Sequence[str], folds: int, seed: int = 0) -> list[int]:
    """The fold of each case, 0 to `folds - 1`: no patient is in two, and kinds are shared out alike.

    Args:
        patients: patient of each case.
        kinds: class of each case, or its combination of classes.
        folds: 2 or more; no more than patients.
        seed: of the shuffle.

    Source: scikit-learn's `StratifiedGroupKFold`.

    >>> folds = stratified_folds(list("aabbccdd"), ["x"] * 4 + ["y"] * 4, 2)
    >>> folds[0::2] == folds[1::2], sorted(folds[0:4]), sorted(folds[4:8])
    (True, [0, 0, 1, 1], [0, 0, 1, 1])
    """
    try:
        from sklearn.model_selection import StratifiedGroupKFold
    except ImportError as error:
        raise CrossDError(
            f"Folds are made by scikit-learn, which is not installed ({error}). Run: pip install scikit-learn"
        ) from error
    found = np.zeros(len(patients), dtype=int)
    made = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # a rare combination of labels
        for fold, (_, held_out) in enumerate(made.split(found, list(kinds), list(patients))):
            found[held_out] = fold
    return [int(fold) for fold in found]


ONE_SPLIT = "Give all cases of a patient the same split, or drop the column 'split' to have it made by patient."


def check_patients(patients: Sequence[str], splits: Sequence[str], remedy: str = ONE_SPLIT) -> None:
    """Refuse a patient whose cases are in more than one split: the result would be measured on seen patients."""
    seen: dict[str, set[str]] = {}
    for patient, split in zip(patients, splits, strict=True):
        seen.setdefault(patient, set()).add(split)
    leaking = {patient: sorted(found) for patient, found in seen.items() if len(found) > 1}
    if leaking:
        listed = "; ".join(f"{patient} in {' and '.join(found)}" for patient, found in sorted(leaking.items()))
        raise CrossDError(f"A patient must be in one split only, got {len(leaking)} in several: {listed}. {remedy}")


def evaluation_splits(cases: Mapping[str, Any], split: str | None) -> list[str]:
    """Which splits to evaluate on: the one that is named, `"all"`, or by default test, or val where there is no test.

    Args:
        cases: with a list for each split, as `crossd.data.read_labels` returns.
        split: `"train"`, `"val"`, `"test"`, `"all"` or None; one without cases is an error.

    >>> evaluation_splits({"train": [1], "val": [2], "test": []}, None)
    ['val']
    """
    counts = {name: len(cases[name]) for name in SPLITS}
    if split is None:
        split = "test" if counts["test"] or not counts["val"] else "val"
    if split not in (*SPLITS, "all"):
        raise CrossDError(f"split must be one of {', '.join(SPLITS)} or all, got {split!r}. Example: --split test.")
    chosen = [name for name in SPLITS if counts[name]] if split == "all" else [split]
    if not chosen or not counts[chosen[0]]:
        listed = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise CrossDError(
            f"An evaluation needs cases, got none of split {split!r} ({listed}). Choose another --split; of a run with "
            "--folds read out_of_fold/evaluation.html, for its model has seen all of its cases."
        )
    return chosen
