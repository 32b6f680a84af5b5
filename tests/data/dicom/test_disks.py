"""Disks as they come: DICOMDIR, thousands of files without endings in nested folders."""

from __future__ import annotations

import os
import time

import numpy as np
import pydicom
import pytest
from crossd.data import find_cases, find_series, read_volume, write_dicom_series
from crossd.data.folders import read_dicomdir
from crossd.errors import CrossDError
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet


@pytest.fixture
def disk(tmp_path, volume, axial):
    """A File-set as pydicom writes it: DICOMDIR and files without endings in nested folders."""
    content = FileSet()
    for description, patient in (("T1", "anna"), ("T2", "bert")):
        folder = tmp_path / "made" / description
        for file in write_dicom_series(folder, volume, axial, description=description, patient_id=patient):
            dataset = pydicom.dcmread(file)
            dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20260101", "120000", "1"
            content.add(dataset)
    content.write(tmp_path / "disk")
    return tmp_path / "disk"


def test_the_folder_of_a_dicomdir(disk, volume):
    items = find_cases(disk)
    assert sorted(item["image"][0].description for item in items) == ["T1", "T2"]
    np.testing.assert_array_equal(read_volume(items[0]["image"])[0], volume)


def test_a_dicomdir_itself(disk, tmp_path, volume):
    (disk / "extra").mkdir()
    (disk / "extra" / "not_listed").write_bytes((next(tmp_path.rglob("000000.dcm"))).read_bytes())
    items = find_cases(disk / "DICOMDIR")
    assert [item["error"] for item in items] == [None, None]
    assert sum(len(item["image"][0].files) for item in items) == 14


def test_a_file_that_is_listed_but_lost(disk):
    files, _ = read_dicomdir(disk / "DICOMDIR")
    os.unlink(files[3])
    wrong = [item for item in find_cases(disk / "DICOMDIR") if item["error"]]
    assert len(wrong) == 1
    assert "A file that a DICOMDIR lists must be there: " in wrong[0]["error"]


def relist(disk, parts):
    dataset = pydicom.dcmread(disk / "DICOMDIR")
    records = [record for record in dataset.DirectoryRecordSequence if "ReferencedFileID" in record]
    records[0].ReferencedFileID = parts
    dataset.save_as(disk / "DICOMDIR")


@pytest.mark.parametrize("parts", [["..", "secret.dcm"], ["link", "secret.dcm"], "/etc/passwd"])
def test_a_path_that_leads_out_of_the_folder_is_not_opened(disk, tmp_path, parts, monkeypatch):
    secret = tmp_path / "outside" / "secret.dcm"
    secret.parent.mkdir()
    next((tmp_path / "made").rglob("000000.dcm")).rename(secret)
    (tmp_path / "secret.dcm").symlink_to(secret)
    (disk / "link").symlink_to(tmp_path / "outside")
    relist(disk, parts)
    files, rejected = read_dicomdir(disk / "DICOMDIR")
    assert len(files) == 13
    assert all(file.startswith(str(disk) + os.sep) for file in files)
    assert [("leads out of" in item.reason, "not opened" in item.reason) for item in rejected] == [(True, True)]


def test_damaged_and_empty_dicomdirs(disk):
    dataset = pydicom.dcmread(disk / "DICOMDIR")
    dataset.DirectoryRecordSequence = [Dataset()]
    dataset.save_as(disk / "DICOMDIR")
    with pytest.raises(CrossDError, match=r"A DICOMDIR must list files: '.*' lists none. Pass its folder"):
        find_cases(disk / "DICOMDIR")
    content = (disk / "DICOMDIR").read_bytes()
    (disk / "DICOMDIR").write_bytes(content[:360] + b"\xff" * 8 + content[368:])
    with pytest.raises(CrossDError, match=r"A DICOMDIR must (be readable|list files): '.*Pass its folder instead"):
        find_cases(disk / "DICOMDIR")


@pytest.mark.slow
def test_thousands_of_files(tmp_path, capfd):
    """8 series of 50 slices, shuffled, without endings, with a bar to watch; under a millisecond or so each."""
    volume = np.zeros((4, 4, 50), dtype=np.int16)
    template = [
        file.read_bytes() for file in write_dicom_series(tmp_path / "one", volume, np.eye(4), series_uid="1.2.30")
    ]
    files = []
    for number in range(8):
        folder = tmp_path / "disk" / f"{number % 4}" / f"{number}"
        folder.mkdir(parents=True)
        for k, content in enumerate(template):
            files.append(folder / f"{k * 37 % 50:03}")
            files[-1].write_bytes(content.replace(b"1.2.30", f"1.2.{10 + number}".encode()))
    started = time.process_time()
    series, rejected = find_series(files)
    assert time.process_time() - started < 6
    assert rejected == []
    assert [item.shape[2] for item in series] == [50] * 8
    assert "reading headers: 100%" in capfd.readouterr().err
