"""Law: every file below a folder is listed once; what would keep a run waiting for ever is named instead."""

from __future__ import annotations

import os
import socket

import nibabel as nib
import numpy as np
import pytest
from crossd.data import find_cases, preprocessing, read_volume, write_dicom_series
from crossd.data.content import content_key
from crossd.data.folders import files_below
from crossd.errors import CrossDError

pytestmark = pytest.mark.timeout(60)
CARD = {"channels": ["x"], "plane": "axial", "spacing": None, "mean": 0.0, "std": 1.0, "intensity": {"mode": "range"}}


@pytest.fixture
def scans(tmp_path, volume, axial):
    """A folder with a series and things that cannot be opened without waiting."""
    folder = tmp_path / "scans"
    write_dicom_series(folder / "s", volume, axial)
    os.mkfifo(folder / "s" / "pipe")
    os.mkfifo(tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", folder / "s" / "link")
    return folder


def test_pipes_and_links_to_pipes_are_not_opened(scans, volume):
    (item,) = find_cases(scans)
    assert item["error"] is None
    np.testing.assert_array_equal(read_volume(scans)[0], volume)  # as a row of a CSV names it
    assert len(content_key({"image": str(scans)}, {})) == 40


def test_a_pipe_that_is_named_itself(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (item,) = find_cases(tmp_path / "pipe")
    assert "pipe' is not (Not a directory)" in item["error"]


def test_those_named_as_images_are_listed(scans, monkeypatch):
    os.mkfifo(scans / "a.nii.gz")
    monkeypatch.chdir(scans)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("b.dcm")
    errors = {item["case"]: item["error"] for item in find_cases(scans) if item["error"]}
    assert list(errors) == ["a", "b"]
    for error in errors.values():
        assert "must be a file or a folder: '" in error
        assert "is a pipe, socket or device. Copy it to a file." in error
    assert "Left out: An image must be a file" in read_volume(scans).meta["warnings"]


def test_a_pipe_that_a_csv_names(tmp_path):
    os.mkfifo(tmp_path / "a.mha")
    (tmp_path / "cases.csv").write_text("image\na.mha\n")
    (item,) = find_cases(tmp_path / "cases.csv")
    for options in ({}, {"cache_dir": str(tmp_path / "cache")}):
        with pytest.raises((CrossDError, RuntimeError)) as caught:
            preprocessing(CARD, **options)({"image": item["image"]})
        error = caught.value
        while not isinstance(error, CrossDError):
            error = error.__cause__
        assert f"must be a file or a folder: '{tmp_path / 'a.mha'}' is a pipe" in str(error)


def test_half_a_pair_is_listed(tmp_path, volume, axial):
    nib.save(nib.Nifti1Pair(volume, axial), tmp_path / "whole.hdr")
    nib.save(nib.Nifti1Pair(volume, axial), tmp_path / "half.hdr")
    (tmp_path / "half.hdr").unlink()
    items = {item["case"]: item["error"] for item in find_cases(tmp_path)}
    assert items["whole"] is None
    assert [name for name in items if name != "whole"] == ["half.img"]
    assert "half.img' is there without its header, a .hdr of the same name. Copy it too." in items["half.img"]


def test_digits_that_are_no_numbers(tmp_path):
    for name in ("1²2", "3①", "2", "10"):
        (tmp_path / name).write_text("")
    files, _ = files_below(tmp_path)
    assert [os.path.basename(file) for file in files] == ["1²2", "2", "3①", "10"]


def test_a_linked_folder_that_a_csv_names(tmp_path, volume, axial):
    write_dicom_series(tmp_path / "elsewhere", volume, axial)
    (tmp_path / "patient").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "patient" / "scan")
    os.symlink(tmp_path / "patient", tmp_path / "patient" / "loop")
    np.testing.assert_array_equal(read_volume(tmp_path / "patient")[0], volume)


def test_a_file_that_is_hidden_changes_the_key(tmp_path, volume, axial):
    first = write_dicom_series(tmp_path, volume, axial)[0]
    before = content_key({"image": str(tmp_path)}, {})
    first.rename(first.with_name(".000000.dcm"))  # the order of the files and their bytes are the same
    assert content_key({"image": str(tmp_path)}, {}) != before
