"""Every unreadable case is found before training starts, named with its reason, and left out on request only."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from crossd.cards.from_weights import FROM_SCRATCH
from crossd.data import preprocessing, read_labels
from crossd.errors import CrossDError
from crossd.training import readable_cases

from ..configs import csv_rows


@pytest.fixture
def cases(volumes, tmp_path):
    """One truncated training file, one validation volume with NaN."""
    (tmp_path / "images").mkdir()
    for file in (volumes / "images").iterdir():
        (tmp_path / "images" / file.name).write_bytes(file.read_bytes())
    broken = tmp_path / "images" / "c03.nii.gz"
    broken.write_bytes(broken.read_bytes()[:400])
    nan = np.full((8, 8, 8), np.nan, np.float32)
    nibabel.save(nibabel.Nifti1Image(nan, np.eye(4)), tmp_path / "images" / "c14.nii.gz")
    return read_labels(tmp_path / "images", volumes / "labels.csv")


@pytest.fixture
def transform():
    return preprocessing(FROM_SCRATCH["input"])


def test_all_are_named_at_once(cases, transform, tmp_path):
    with pytest.raises(
        CrossDError, match=r"readable, got 2 of 24 that are not: c03: .*c14: .*NaN.*--skip_unreadable true"
    ):
        readable_cases(cases, transform, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_left_out_on_request(cases, transform, tmp_path, workers):
    kept = readable_cases(cases, transform, str(tmp_path / "out"), skip_unreadable=True, num_workers=workers)
    assert [len(kept[split]) for split in ("train", "val", "test")] == [11, 5, 6]
    assert kept["bytes"] == 22 * 8**3 * 4
    rows = csv_rows(tmp_path / "out" / "skipped.csv")
    assert [(row["case"], row["split"]) for row in rows] == [("c03", "train"), ("c14", "val")]
    assert "NaN" in rows[1]["reason"]


def test_only_the_asked_splits_are_read(cases, transform):
    assert len(readable_cases(cases, transform, None, splits=["test"])["test"]) == 6


def test_a_split_of_which_nothing_is_left(cases, transform, tmp_path):
    cases["val"] = [case for case in cases["val"] if case["case"] == "c14"]
    with pytest.raises(CrossDError, match=r"At least one val case must be readable, got 1 that are not"):
        readable_cases(cases, transform, str(tmp_path), skip_unreadable=True)
