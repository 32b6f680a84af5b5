"""Law: every scan of a tree is a case once, and everything that should be one but is not is listed with its reason."""

from __future__ import annotations

import os
import pickle
import re
import shutil

import nibabel as nib
import pytest
from crossd.data import LoadImageVolumed, Series, find_cases, write_dicom_series
from crossd.errors import CrossDError


def save(path, volume, voxel_to_world):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(volume, voxel_to_world), path)
    return path


@pytest.fixture
def tree(tmp_path, volume, axial):
    """Files, series and other things, mixed."""
    root = tmp_path / "study"
    for name in ("a10.nii.gz", "a2.nii.gz", "sub/a2.nii"):
        save(root / name, volume, axial)
    write_dicom_series(root / "patient 1", volume, axial, description="T1 (ax)", prefix="a", SeriesNumber=4)
    write_dicom_series(root / "patient 1", volume + 1, axial, description="T2", prefix="b", SeriesNumber=5)
    write_dicom_series(root / "patient 2" / "DICOM", volume + 2, axial, description="T1 (ax)", PatientName="DOE^JANE")
    for file in (root / "patient 2" / "DICOM").iterdir():
        file.rename(file.with_suffix(""))  # as on a disk from a scanner
    for name in (
        "README.txt",
        "LICENSE",
        "params.json",
        "labels.csv",
        ".hidden.nii.gz",
        "__MACOSX/a2.nii.gz",
        "x.bval",
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"not an image")
    (root / "empty.nii.gz").write_bytes(b"")
    (root / "patient 1" / "damaged.dcm").write_bytes(b"not DICOM")
    return root


def test_a_mixed_tree(tree, volume):
    items = find_cases(tree)
    assert [item["case"] for item in items] == [
        "a2",
        "a10",
        "empty",
        "patient_1-4-T1_ax",
        "patient_1-5-T2",
        "patient_1-damaged",
        "patient_2-DICOM-1-T1_ax",
        "sub-a2",
    ]
    errors = {item["case"]: item["error"] for item in items if item["error"]}
    assert set(errors) == {"empty", "patient_1-damaged"}
    assert "must not be empty: '" in errors["empty"]
    assert "named as DICOM must be DICOM" in errors["patient_1-damaged"]
    good = [item for item in items if not item["error"]]
    values = [LoadImageVolumed("image")(item)["image"].sum().item() - volume.sum() for item in good]
    assert [value // volume.size for value in values] == [0, 0, 0, 1, 2, 0]
    assert items[0]["source"] == str(tree / "a2.nii.gz")
    assert items[3]["source"] == str(tree / "patient 1")
    assert items[3]["warnings"] == []
    assert find_cases(tree) == items
    assert pickle.loads(pickle.dumps(items)) == items


@pytest.mark.parametrize("name", ["a2.nii.gz", "sub/a2.nii"])
def test_one_file(tree, name):
    (item,) = find_cases(tree / name)
    assert item == {
        "case": "a2",
        "source": str(tree / name),
        "image": [str(tree / name)],
        "warnings": [],
        "error": None,
    }


def test_one_dicom_file_and_one_dicom_folder(tree):
    (item,) = find_cases(tree / "patient 2" / "DICOM" / "000003")
    assert (item["case"], item["warnings"]) == ("000003-1-T1_ax", ["The series has one slice only."])
    (item,) = find_cases(tree / "patient 2" / "DICOM")
    assert item["case"] == "DICOM-1-T1_ax"
    assert isinstance(item["image"][0], Series)
    assert item["image"][0].shape == (9, 8, 7)


def test_relative_paths_and_home(tree, monkeypatch):
    monkeypatch.chdir(tree)
    monkeypatch.setenv("HOME", str(tree))
    assert find_cases(".") == find_cases(tree)
    assert find_cases("~/sub")[0]["source"] == str(tree / "sub" / "a2.nii")


def test_names_are_safe_and_never_the_patients(tree):
    for item in find_cases(tree):
        assert re.fullmatch(r"[A-Za-z0-9_.+=-]+", item["case"])
        assert "DOE" not in item["case"]


def test_links(tree, volume, axial, tmp_path):
    os.symlink(tree, tree / "sub" / "loop")
    save(tmp_path / "elsewhere" / "c.nii.gz", volume, axial)
    os.symlink(tmp_path / "elsewhere", tree / "linked")
    os.symlink(tmp_path / "nowhere.nii.gz", tree / "broken.nii.gz")
    items = {item["case"]: item for item in find_cases(tree)}
    assert len(items) == 8 + 2
    assert items["linked-c"]["error"] is None
    assert "does not (No such file or directory)" in items["broken"]["error"]


def test_what_may_not_be_read_is_listed(tree, monkeypatch):
    (tree / "locked").mkdir()
    scandir, access = os.scandir, os.access

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("a10.nii.gz") and access(path, mode))
    errors = {item["case"]: item["error"] for item in find_cases(tree) if item["error"]}
    assert errors["locked"].endswith("locked' is not (Permission denied). Change its permissions.")
    assert "An image file must be readable" in errors["a10"]


def test_pipes_do_not_block(tree):
    os.mkfifo(tree / "pipe")
    assert len(find_cases(tree)) == 8


def test_few_files_do_not(tree, capfd):
    find_cases(tree)
    assert capfd.readouterr().err == ""


def test_nothing_found(tmp_path):
    with pytest.raises(CrossDError, match=r"path of the images must exist: '.*absent' does not. Check it"):
        find_cases(tmp_path / "absent")
    with pytest.raises(CrossDError, match=r"A folder must hold images: '.*' is empty. Pass a folder with NIfTI or"):
        find_cases(tmp_path)
    (tmp_path / "note.txt").write_text("nothing")
    with pytest.raises(CrossDError, match=r"none of the 1 files in '.*' is one, for instance 'note.txt'. Pass the"):
        find_cases(tmp_path)
    with pytest.raises(CrossDError, match=r"The images must be DICOM, .*: '.*note.txt' is none of these. Convert it"):
        find_cases(tmp_path / "note.txt")


def test_an_object_without_pixels_is_listed_beside_its_series(tmp_path, volume, axial):
    import pydicom

    files = write_dicom_series(tmp_path, volume, axial)
    dataset = pydicom.dcmread(shutil.copy(files[0], tmp_path / "report.dcm"))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    dataset.SOPInstanceUID = "1.2.3"
    for keyword in ("Rows", "Columns", "PixelData"):
        del dataset[keyword]
    dataset.save_as(tmp_path / "report.dcm")
    series, report = find_cases(tmp_path)
    assert series["error"] is None
    assert series["image"][0].shape == (9, 8, 7)
    assert (report["case"], report["source"]) == ("report", str(tmp_path / "report.dcm"))
    assert "needs pixels to be classified: 'report.dcm' (Basic Text SR Storage) has none" in report["error"]
