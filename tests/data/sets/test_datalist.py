"""Splits and folds of a data list: no patient in two, every class in each, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from crossd.data.sets.by_name import with_fold, with_splits, write_labels
from crossd.data.sets.facts import DatasetFacts, Found, PaperRow, ReleasedCase, deviations
from crossd.errors import CrossDError

FACTS = DatasetFacts("a", "A", "", "", "", ("x", "y"), "", "")


def cases(count=30, **options):
    """Three cases a patient, whose class is x, x, y."""
    return [ReleasedCase((f"{i}.nii",), "xxy"[i % 3], f"p{i // 3}", **options) for i in range(count)]


def test_without_official_splits():
    made = with_splits(cases(), "xy", (0.6, 0.2, 0.2), seed=1)
    assert len({(case.patient, case.split) for case in made}) == 10
    assert Counter(case.split for case in made) == {"train": 18, "val": 6, "test": 6}
    assert made == with_splits(cases(), "xy", (0.6, 0.2, 0.2), seed=1)
    assert made != with_splits(cases(), "xy", (0.6, 0.2, 0.2), seed=2)


def test_official_splits_are_kept_and_validation_comes_out_of_training():
    given = [*cases(24, split="train"), *(ReleasedCase((f"t{i}.nii",), "x", f"t{i}", "test") for i in range(6))]
    made = with_splits(given, "xy", (0.5, 0.25, 0.25))
    assert [case.split for case in made[24:]] == ["test"] * 6
    assert Counter(case.split for case in made[:24]) == {"train": 15, "val": 9}  # a third of eight patients: three
    assert len({(case.patient, case.split) for case in made}) == 8 + 6


def test_folds():
    tested = Counter()
    for fold in range(5):
        made = with_fold(cases(), "xy", 5, fold, seed=3)
        assert len({(case.patient, case.split) for case in made}) == 10
        assert Counter(case.split for case in made) == {"train": 18, "val": 6, "test": 6}
        assert {case.label for case in made if case.split == "test"} == {"x", "y"}
        tested.update(case.images[0] for case in made if case.split == "test")
    assert tested == Counter({f"{i}.nii": 1 for i in range(30)})


def test_what_is_written(tmp_path):
    inside, outside = tmp_path / "out" / "images" / "a.nii.gz", tmp_path / "b.nii.gz"
    made = [
        ReleasedCase((inside, outside), "x", "p", "train", "n"),
        ReleasedCase((outside, inside), "y", "", "val", "m"),
    ]
    path = write_labels(tmp_path / "out" / "labels.csv", made, FACTS)
    assert path.read_text().splitlines() == [
        "case,image_1,image_2,label,patient,split",
        f"n,images/a.nii.gz,{outside},x,p,train",
        f"m,{outside},images/a.nii.gz,y,m,val",
    ]


def test_what_differs_is_said():
    facts = replace(FACTS, title="A", count=30, paper=PaperRow("V", 30, (1, 4, 4, 4), (0, 255), 2))
    assert deviations(facts, Found(cases(), (1, 4, 4, 4), (0.0, 255.0))) == []
    assert deviations(facts, Found(cases(1), (2, 4, 4, 4), (0, 1))) == [
        "A: 1 cases here, 30 in the official release.",
        "A: no case of y here.",
        "A: 1 cases here, 30 in Table V of the paper.",
        "A: 1 classes here, 2 in Table V of the paper.",
        "A: size (2, 4, 4, 4) here, (1, 4, 4, 4) in Table V of the paper.",
        "A: values 0 to 1 here, 0 to 255 in Table V of the paper.",
    ]


def test_refused(tmp_path):
    with pytest.raises(CrossDError, match=r"Folds are three or more .* got fold 0 of 2\. Example: --folds 5"):
        with_fold(cases(), "xy", 2, 0)
    with pytest.raises(CrossDError, match="got fold 5 of 5"):
        with_fold(cases(), "xy", 5, 5)
    with pytest.raises(CrossDError, match="all cases have an official split or none, got 3 of 6 without"):
        with_splits([*cases(3, split="train"), *cases(3)], "xy")
    with pytest.raises(CrossDError, match="A patient must be in one split only"):
        with_splits([ReleasedCase(("a",), "x", "p", "train"), ReleasedCase(("b",), "y", "p", "val")], "xy")
    with pytest.raises(CrossDError, match=r"All cases have the same channels, got \[1, 2\] in A"):
        write_labels(tmp_path / "a.csv", [ReleasedCase(("a",), "x"), ReleasedCase(("a", "b"), "x")], FACTS)
    with pytest.raises(CrossDError, match="got no case in A"):
        write_labels(tmp_path / "a.csv", [], FACTS)
