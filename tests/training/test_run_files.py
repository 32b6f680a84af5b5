"""Which files of a run are trusted."""

from __future__ import annotations

import csv
import logging

import pytest
import torch
from crossd.checkpoints import save_checkpoint
from crossd.data import read_labels
from crossd.errors import CrossDError
from crossd.training import run_files


@pytest.fixture
def folder(tmp_path):
    for epoch in (1, 2, 10):
        save_checkpoint(run_files.checkpoint_path(tmp_path, epoch), {"w": torch.full((3,), epoch)}, epoch=epoch)
    return tmp_path


def test_the_newest_is_taken(folder):
    assert run_files.newest_checkpoint(folder)["epoch"] == 10


def test_files_being_written_are_not_listed(folder):
    (folder / ".checkpoint_0011.pt.partial").write_bytes(b"half")
    (folder / "checkpoint_0012.pt.partial").write_bytes(b"half")
    (folder / "checkpoint_best.pt").write_bytes(b"somebody's")
    assert [path.name for path in run_files.checkpoints(folder)] == [
        "checkpoint_0010.pt",
        "checkpoint_0002.pt",
        "checkpoint_0001.pt",
    ]


def test_a_broken_one_is_passed_over_and_named(folder, caplog):
    path = run_files.checkpoint_path(folder, 10)
    path.write_bytes(path.read_bytes()[:-200])
    with caplog.at_level(logging.WARNING):
        assert run_files.newest_checkpoint(folder)["epoch"] == 2
    assert "checkpoint_0010.pt cannot be read and is passed over" in caplog.text


def test_when_all_are_broken_nothing_is_started_silently(folder):
    for path in run_files.checkpoints(folder):
        path.write_bytes(b"")
    with pytest.raises(CrossDError, match=r"a whole checkpoint, got none of 3 in .*Pass --resume false"):
        run_files.newest_checkpoint(folder)


def test_no_checkpoints(tmp_path):
    assert run_files.newest_checkpoint(tmp_path) is None


def test_the_oldest_are_removed(folder):
    run_files.remove_checkpoints(folder, keep=2)
    assert [path.name for path in run_files.checkpoints(folder)] == ["checkpoint_0010.pt", "checkpoint_0002.pt"]


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_datalist_is_a_labels_file_that_gives_the_same_cases(volumes, tmp_path, monkeypatch, task):
    text = (volumes / "labels.csv").read_text()
    if task == "multilabel":
        text = text.replace("empty", "none", 5).replace("empty", "bright;large")
    (tmp_path / "labels.csv").write_text(text)
    found = read_labels(volumes / "images", tmp_path / "labels.csv", task=task)
    every = found["train"] + found["val"] + found["test"]
    run_files.write_datalist(tmp_path / "out" / "datalist.csv", every, found["class_names"])
    monkeypatch.chdir("/")
    again = read_labels(None, tmp_path / "out" / "datalist.csv", task=task)
    assert again == found
    with (tmp_path / "out" / "datalist.csv").open() as file:
        assert next(csv.reader(file)) == ["case", "image", "label", "patient", "split"]


def test_the_digest_sees_labels_and_splits_but_not_places():
    case = {"case": "a", "label": 0, "split": "train", "image": ["/here/a.nii"]}
    base = run_files.digest([case])
    assert run_files.digest([{**case, "image": ["/there/a.nii"]}]) == base
    assert len({base, run_files.digest([{**case, "label": 1}]), run_files.digest([{**case, "split": "val"}])}) == 3
