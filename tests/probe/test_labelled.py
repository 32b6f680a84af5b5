"""What a labels.csv must hold to be probed, said in words; and columns of it as a baseline."""

from __future__ import annotations

import numpy as np
import pytest
from crossd.errors import CrossDError
from crossd.probe.labelled import column_features, labelled_cases


def table(folder, labels, split=None, **columns):
    """A labels.csv of cases that are there, and of no content."""
    rows = [["image", "label", *(["split"] if split else []), *columns]]
    for number, label in enumerate(labels):
        (folder / f"{number}.nii.gz").touch()
        rows.append(
            [f"{number}.nii.gz", label, *([split[number]] if split else []), *(c[number] for c in columns.values())]
        )
    (folder / "labels.csv").write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return str(folder / "labels.csv")


def test_all_cases_are_for_training_without_a_split_and_validation_cases_with_one(tmp_path, caplog):
    found = labelled_cases(None, table(tmp_path, list("aaabbb")))
    assert [case["split"] for case in found["train"]] == ["train"] * 6
    assert found["test"] == []
    assert "val" not in found
    assert "at most as many folds, not 5" in caplog.text
    found = labelled_cases(None, table(tmp_path, list("aaabbb"), ["train", "val", "test"] * 2))
    assert (len(found["train"]), len(found["test"])) == (4, 2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (list("aaabb"), r"needs 3 patients or more of each class .*'b' \(2 patients\)\. Add cases of it, or leave"),
        (list("aaaab"), r"'b' \(1 patient\)"),
        (["a"] * 5, "A classifier needs cases of at least two classes, got only 'a'"),
        (
            ["61.5", "70", "45", "33"],
            r"4 different numbers as labels of 4 cases .*predict a number, pass --task regression",
        ),
        (list(range(40, 60)), r"20 different numbers as labels of 20 cases .*make groups of the numbers"),
    ],
)
def test_labels_that_cannot_be_probed(tmp_path, labels, message):
    with pytest.raises(CrossDError, match=message):
        labelled_cases(None, table(tmp_path, labels))


def test_few_whole_numbers_are_classes(tmp_path):
    assert labelled_cases(None, table(tmp_path, [0, 1, 2] * 4))["class_names"] == ["0", "1", "2"]
    named = table(tmp_path, list(range(12)) * 3)
    assert len(labelled_cases(None, named)["class_names"]) == 12


def test_no_labels_and_no_folds(tmp_path):
    with pytest.raises(CrossDError, match=r"A probe needs labelled cases, got no labels\. Pass --labels FILE\.csv\."):
        labelled_cases(None, None)
    with pytest.raises(CrossDError, match=r"needs 2 folds or more, got 1\. Pass --folds 5"):
        labelled_cases(None, table(tmp_path, list("ab")), folds=1)


def test_columns_are_numbers_or_kinds(tmp_path):
    labels = table(tmp_path, list("aaabbb"), age=[50, 61, 7, 8, 9, 10], sex=list("fmfmfm"))
    cases = labelled_cases(None, labels)["train"]
    _, rows = column_features(["age", "sex"], None, labels, "multiclass", ["a", "b"], cases[::-1])
    np.testing.assert_array_equal(rows[0], [10, 0, 1])
    np.testing.assert_array_equal(rows[-1], [50, 1, 0])
    with pytest.raises(CrossDError, match=r"got no 'height' in .*labels.csv, which has 'image', 'label', 'age', 'sex'"):
        column_features(["height"], None, labels, "multiclass", ["a", "b"], cases)
    labels = table(tmp_path, list("aaabbb"), age=[50, "", 7, 8, 9, 10])
    with pytest.raises(CrossDError, match=r"needs a value in the columns of the baseline.*line 3: no age"):
        column_features(["age"], None, labels, "multiclass", ["a", "b"], cases)
