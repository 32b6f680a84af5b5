"""BraTS21: NIfTI and DICOM releases give the same cases, in place, with the chosen channels, without the bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from crossd.data.reading import read_volume
from crossd.data.sets import prepare_datalist
from crossd.data.sets.brats21 import EXCLUDED
from crossd.errors import CrossDError


def test_nifti_in_place(release, tmp_path, rows, caplog):
    root = release("brats21")
    before = sorted(root.rglob("*"))
    listed = rows(prepare_datalist("brats21", root, tmp_path / "out"))
    assert sorted(root.rglob("*")) == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labels.csv"]
    first = listed[0]
    assert (first["case"], first["patient"], first["label"]) == ("BraTS2021_00000", "00000", "unmethylated")
    files = [Path(first[f"image_{channel}"]) for channel in (1, 2, 3)]
    assert [file.name for file in files] == [f"BraTS2021_00000_{m}.nii.gz" for m in ("flair", "t1ce", "t2")]
    assert all(file.is_file() and file.is_absolute() for file in files)
    labels = {row["patient"]: row["label"] for row in listed}
    assert labels["00003"] == "methylated"  # the third row of the table
    assert not set(labels) & {*EXCLUDED, "00019"}
    assert "Left out for known problems: 00109, 00123" in caplog.text
    assert "1 labelled cases lack a channel here and are left out: 00019." in caplog.text
    assert "13 cases here, 585 in Table V of the paper." in caplog.text
    assert read_volume([first[f"image_{channel}"] for channel in (1, 2, 3)]).shape[0] == 3


def test_dicom_gives_the_same_cases(release, tmp_path, rows):
    root = release("brats21-dicom")
    assert (root / "train" / "00000" / "FLAIR" / "Image-1.dcm").is_file()
    listed = rows(prepare_datalist("brats21", root, tmp_path / "out", modalities="t2,t1"))
    assert {row["patient"] for row in listed} >= {"00000", "00019"}
    assert Path(listed[0]["image_1"]) == root / "train" / "00000" / "T2w"
    assert read_volume([listed[0]["image_1"], listed[0]["image_2"]]).shape == (2, 8, 8, 2)


def test_bad_cases_can_be_kept(release, tmp_path, rows):
    root = release("brats21")
    listed = rows(prepare_datalist("brats21", root, tmp_path / "out", keep_excluded=True))
    assert {"00109", "00123"} <= {row["patient"] for row in listed}


def test_wrong_releases(release, made, tmp_path):
    with pytest.raises(CrossDError, match=r"needs train_labels\.csv, and .* does not hold it\. Accept the terms on"):
        prepare_datalist("brats21", tmp_path, tmp_path / "out")
    made.table(tmp_path / "train_labels.csv", ("BraTS21ID", "MGMT_value"), ("00000", 1), ("00002", ""))
    with pytest.raises(CrossDError, match="MGMT_value is 0 or 1, got another value for 00002"):
        prepare_datalist("brats21", tmp_path, tmp_path / "out")
    made.table(tmp_path / "train_labels.csv", ("id", "label"), ("00000", 1))
    with pytest.raises(CrossDError, match="has the columns BraTS21ID, MGMT_value"):
        prepare_datalist("brats21", tmp_path, tmp_path / "out")
    made.table(tmp_path / "train_labels.csv", ("BraTS21ID", "MGMT_value"), ("00000", 1))
    with pytest.raises(CrossDError, match="needs the folders BraTS2021_00000 or train/00000 with flair, t1ce, t2"):
        prepare_datalist("brats21", tmp_path, tmp_path / "out")
    with pytest.raises(CrossDError, match="`modality` must be one of 'flair', 't1', 't1ce', 't2'; got 't1c'"):
        prepare_datalist("brats21", tmp_path, tmp_path / "out", modalities="t1c")


@pytest.mark.parametrize("name", ["brats21", "brats21-dicom"])
def test_an_archive_unpacked_into_a_folder_of_its_own(name, release, tmp_path, rows):
    """Kaggle's `train` and table, or Task 1's folders, one folder below the root."""
    root = release(name)
    inner = root / "rsna-miccai-brain-tumor-radiogenomic-classification"
    inner.mkdir()
    (root / "train_labels.csv").rename(inner / "train_labels.csv")
    if name == "brats21-dicom":
        (root / "train").rename(inner / "train")
    listed = rows(prepare_datalist("brats21", root, tmp_path / "out"))
    assert {"00000", "00018"} <= {row["patient"] for row in listed}
