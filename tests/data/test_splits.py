"""The law: no patient is in two splits, every class is shared out, and the same seed gives the same split."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from crossd.data.splits import check_fractions, check_patients, stratified_split
from crossd.errors import CrossDError

FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}


def cohort(seed: int) -> tuple[list[str], list[list[int]]]:
    """60 patients of 1 to 3 scans in classes of 60, 30 and 10 percent."""
    rng = np.random.default_rng(seed)
    patients, classes = [], []
    for patient in range(60):
        label = int(rng.choice(3, p=[0.6, 0.3, 0.1])) if patient > 5 else patient % 3
        for _ in range(rng.integers(1, 4)):
            patients.append(f"p{patient}")
            classes.append([label])
    return patients, classes


@pytest.mark.parametrize("seed", range(5))
def test_patients_stay_together_and_classes_are_shared_out(seed):
    patients, classes = cohort(seed)
    splits = stratified_split(patients, classes, FRACTIONS, seed)
    check_patients(patients, splits)
    for label in range(3):
        own = Counter(split for split, case in zip(splits, classes, strict=True) if case == [label])
        total = sum(own.values())
        for split, fraction in FRACTIONS.items():
            assert abs(own[split] - fraction * total) <= 3, (label, own)  # a patient has up to 3 scans


def test_the_seed_decides():
    patients, classes = cohort(0)
    again = [stratified_split(patients, classes, FRACTIONS, seed) for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


def test_the_order_of_the_rows_does_not_matter():
    patients, classes = cohort(0)
    splits = dict(zip(patients, stratified_split(patients, classes, FRACTIONS), strict=True))
    backwards = stratified_split(patients[::-1], classes[::-1], FRACTIONS)
    assert dict(zip(patients[::-1], backwards, strict=True)) == splits


def test_multilabel_rare_class_is_in_every_split():
    classes = [[0, 1] if i < 6 else [0] if i < 20 else [] for i in range(40)]
    splits = stratified_split([str(i) for i in range(40)], classes, {"train": 0.5, "val": 0.25, "test": 0.25})
    rare = Counter(splits[:6])
    assert rare == {"train": 3, "val": 2, "test": 1} or rare == {"train": 3, "val": 1, "test": 2}


@pytest.mark.parametrize("number", [3, 4, 5])
def test_no_split_stays_empty(number):
    splits = stratified_split([str(i) for i in range(number)], [[i % 2] for i in range(number)], FRACTIONS)
    assert set(splits) == {"train", "val", "test"}


def test_too_few_patients():
    with pytest.raises(CrossDError, match=r"at least 3 patients, one for each of .*, got 2\. Add patients"):
        stratified_split(["a", "a", "b"], [[0], [0], [1]], FRACTIONS)


@pytest.mark.parametrize("fractions", [[0.5, 0.5], [0.5, 0.5, 0.5], [1, 0, 0], [0, 0.5, 0.5], [1.2, 0.3, -0.5]])
def test_fractions_that_cannot_be(fractions):
    with pytest.raises(CrossDError, match=r"three numbers \(train, val, test\) that sum to 1.*Example:"):
        check_fractions(fractions)


def test_a_patient_in_two_splits():
    with pytest.raises(CrossDError, match=r"got 2 in several: a in test and train; c in train and val\. Give all"):
        check_patients(["a", "a", "b", "c", "c"], ["train", "test", "val", "train", "val"])


@pytest.mark.parametrize("seed", range(5))
def test_a_class_with_a_patient_for_each_split_is_in_each(seed):
    """By shares alone, 3 of 20 patients are 2 for training, and one for validation or test."""
    classes = [[0]] * 17 + [[1]] * 3
    splits = stratified_split([f"p{i}" for i in range(20)], classes, {"train": 0.8, "val": 0.1, "test": 0.1}, seed)
    assert sorted(splits[17:]) == ["test", "train", "val"]
    assert set(splits[:17]) == {"test", "train", "val"}
