"""Class folders: every volume once, where it is, with its class, its split and, by a pattern, its patient."""

from __future__ import annotations

import shutil

import pytest
from crossd.data.sets import prepare_datalist
from crossd.errors import CrossDError


def test_volumes_and_series_in_place(release, tmp_path, rows):
    root = release("class-folders")
    listed = rows(prepare_datalist("class-folders", root, tmp_path / "out", patient_pattern=r"sub-\w+"))
    assert len(listed) == 18
    assert {row["image"] for row in listed} >= {
        str(root / "ill" / "sub-ill0" / "scan1.nii.gz"),
        str(root / "well" / "sub-well9" / "series"),
    }
    assert all(f"/{row['label']}/" in row["image"] and row["patient"] in row["image"] for row in listed)
    assert len({(row["patient"], row["split"]) for row in listed}) == 10  # a patient is in one split
    assert len({row["case"] for row in listed}) == 18


def test_folders_that_are_split_already(release, tmp_path, rows):
    root = release("class-folders")
    for split in ("Training", "test"):
        shutil.copytree(root, tmp_path / "split" / split)
    listed = rows(prepare_datalist("class-folders", tmp_path / "split", tmp_path / "out"))
    assert {row["label"] for row in listed} == {"ill", "well"}
    assert [row["split"] for row in listed if "/split/test/" in row["image"]] == ["test"] * 18
    assert {row["split"] for row in listed} == {"train", "val", "test"}  # some of train became val
    assert "patient" not in listed[0]
    with pytest.raises(CrossDError, match=r"A patient must be in one split only, got 10 in several"):
        prepare_datalist("class-folders", tmp_path / "split", tmp_path / "out", patient_pattern=r"(sub-\w+)/")
    (tmp_path / "split" / "more").mkdir()
    with pytest.raises(CrossDError, match=r"either splits .* got Training, test beside more in .*Move or remove"):
        prepare_datalist("class-folders", tmp_path / "split", tmp_path / "out")


def test_files_that_cannot_be_read_are_left_out(release, tmp_path, rows, caplog):
    root = release("class-folders")
    (root / "ill" / "empty.nii.gz").touch()
    assert len(rows(prepare_datalist("class-folders", root, tmp_path / "out"))) == 18
    assert "Left out: ill/empty.nii.gz: An image file must not be empty" in caplog.text


def test_refused(release, tmp_path):
    with pytest.raises(CrossDError, match=r"needs two or more folders with volumes \(it has none\)"):
        prepare_datalist("class-folders", tmp_path, tmp_path / "out")
    root = release("class-folders")
    with pytest.raises(CrossDError, match=r"must find a patient in every path, 'P.*d' finds none in 'sub-ill0"):
        prepare_datalist("class-folders", root, tmp_path / "out", patient_pattern=r"P\d")
    with pytest.raises(CrossDError, match=r"patient_pattern is a regular expression, got '\(' \("):
        prepare_datalist("class-folders", root, tmp_path / "out", patient_pattern="(")
    series = root / "ill" / "sub-ill9" / "series"
    for path in (root / "well" / "sub-well9" / "series").iterdir():
        shutil.copy(path, series / f"other_{path.name}")
    with pytest.raises(CrossDError, match=r"names a DICOM series by its folder, '.*series' holds several"):
        prepare_datalist("class-folders", root, tmp_path / "out")


def test_volumes_without_a_patient_are_said_to_be_so(release, tmp_path, caplog):
    root = release("class-folders")
    prepare_datalist("class-folders", root, tmp_path / "out", patient_pattern=r"sub-\w+")
    assert "patient" not in caplog.text
    prepare_datalist("class-folders", root, tmp_path / "out")
    assert "Every volume counts as a patient: where some are of one person, --patient_pattern keeps" in caplog.text
