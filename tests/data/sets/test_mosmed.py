"""MosMed: the whole release and the paper's subset, and what the folders mean in each task."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest
from crossd.data.sets import prepare_datalist
from crossd.errors import CrossDError


@pytest.mark.parametrize(
    ("task", "counts"),
    [
        ("ct0_ct23", {"CT-0": 8, "CT-23": 7}),
        ("severity", {"CT-0": 8, "CT-1": 3, "CT-2": 4, "CT-3": 3, "CT-4": 1}),
        ("covid", {"CT-0": 8, "CT-1234": 11}),
    ],
)
def test_tasks(release, tmp_path, rows, task, counts, caplog):
    root = release("mosmed")
    labels = prepare_datalist("mosmed", root, tmp_path / "out", task=task)
    assert Counter(row["label"] for row in rows(labels)) == counts
    assert rows(labels)[0]["image"] == str(root / "COVID19_1110" / "studies" / "CT-0" / "study_0001.nii.gz")
    assert (f"Task {task} is not that of the preset: train with --classes" in caplog.text) == (task != "ct0_ct23")


def test_the_subset_of_the_paper(release, tmp_path, rows, caplog):
    listed = rows(prepare_datalist("mosmed", release("mosmed-subset"), tmp_path / "out"))
    assert Counter(row["label"] for row in listed) == {"CT-0": 8, "CT-23": 8}
    assert {row["split"] for row in listed} == {"train", "val", "test"}
    assert "16 cases here, 200 in Table V of the paper." in caplog.text


def test_refused(tmp_path):
    with pytest.raises(CrossDError, match="needs studies in two or more of the folders CT-0, CT-2, CT-3, CT-23"):
        prepare_datalist("mosmed", tmp_path, tmp_path / "out")
    with pytest.raises(CrossDError, match="`task` must be one of 'ct0_ct23', 'severity', 'covid'; got 'binary'"):
        prepare_datalist("mosmed", tmp_path, tmp_path / "out", task="binary")


def test_a_study_counts_once(release, made, tmp_path, rows, caplog):
    """The paper's folder CT-23 beside the release's CT-2 and CT-3, and a study that was unpacked beside its archive."""
    root = release("mosmed")
    studies = root / "COVID19_1110" / "studies"
    for path in (*(studies / "CT-2").iterdir(), *(studies / "CT-3").iterdir()):
        (studies / "CT-23").mkdir(exist_ok=True)
        shutil.copy(path, studies / "CT-23")
    made.save(studies / "CT-0" / "study_0001.nii", made.voxels(1) - 1000)
    listed = rows(prepare_datalist("mosmed", root, tmp_path / "out"))
    assert Counter(row["label"] for row in listed) == {"CT-0": 8, "CT-23": 7}
    assert len({row["case"] for row in listed}) == 15
    assert "8 files are studies that are listed already and left out: CT-0/study_0001.nii.gz, CT-23/" in caplog.text
