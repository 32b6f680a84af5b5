"""A CSV names cases as a tree does: relative to itself, each row once."""

from __future__ import annotations

import time

import nibabel as nib
import pytest
from crossd.data import LoadImageVolumed, find_cases, write_dicom_series
from crossd.data.case_table import read_case_table
from crossd.errors import CrossDError


@pytest.fixture
def scans(tmp_path, volume, axial):
    for name in ("p1/t1.nii.gz", "p1/t2.nii.gz", "p2/t1.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(volume, axial), tmp_path / name)
    write_dicom_series(tmp_path / "p2" / "t2", volume, axial)
    return tmp_path


def table(folder, text, encoding="utf-8"):
    (folder / "cases.csv").write_bytes(text.encode(encoding))
    return folder / "cases.csv"


def test_one_channel(scans):
    items = find_cases(table(scans, f"image,label\np1/t1.nii.gz,0\n{scans}/p2/t1.nii.gz,1\np2/t2,1\n"))
    assert [item["case"] for item in items] == ["p1-t1", "p2-t1", "p2-t2"]
    assert [item["source"] for item in items] == [
        str(scans / name) for name in ("p1/t1.nii.gz", "p2/t1.nii.gz", "p2/t2")
    ]
    assert [item["image"] for item in items] == [[item["source"]] for item in items]
    assert all(item["error"] is None and item["warnings"] == [] for item in items)
    assert LoadImageVolumed("image")(items[2])["image"].shape == (1, 9, 8, 7)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_channels_names_and_dialects(scans, separator, encoding):
    text = "case, image_2 ,image_1\r\nKöln 1,p1/t2.nii.gz,p1/t1.nii.gz\r\nb, p2/t2,p2/t1.nii.gz\r\n"
    items = find_cases(table(scans, text.replace(",", separator), encoding))
    assert [item["case"] for item in items] == ["Koln_1", "b"]
    assert items[1]["image"] == [str(scans / "p2" / "t1.nii.gz"), str(scans / "p2" / "t2")]
    assert LoadImageVolumed("image")(items[1])["image"].shape == (2, 9, 8, 7)


def test_rows_that_name_nothing_become_errors(scans):
    good, absent, empty = find_cases(
        table(scans, "image_1,image_2\np1/t1.nii.gz,p1/t2.nii.gz\np1/t1.nii.gz,p9/t2.nii.gz\n,p1/t2.nii.gz\n")
    )
    assert good["error"] is None
    assert absent["error"].startswith(f"An image file or DICOM folder must exist: '{scans}/p9/t2.nii.gz' (line 3 of")
    assert "'image_1' is empty in line 4" in empty["error"]
    assert len({item["case"] for item in (good, absent, empty)}) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file\na.nii.gz\n", r"needs a column 'image', or columns 'image_1'.*: '.*cases.csv' has 'file'. Rename"),
        ("image,image_1\na,b\n", "has 'image', 'image_1'. Rename"),
        ("image_1,image_3\na,b\n", "has 'image_1', 'image_3'. Rename"),
        ("image,image\na,b\n", r"A column may appear once, got \['image'\] more than once"),
        ("", "has no header. Rename"),
        ("image\n", "at least one row: '.*cases.csv' has a header only. Add the images."),
        ("case,image\na,x\nA,y\n", "a name of its own, got in .*: line 2: a; line 3: A. Rename them, or drop"),
        ("case,image\n,x\n", "a name of its own, got in .*: line 2: no name. Rename them, or drop"),
    ],
)
def test_columns_and_rows(tmp_path, text, message):
    with pytest.raises(CrossDError, match=message):
        find_cases(table(tmp_path, text))


def test_not_a_text_file(tmp_path):
    with pytest.raises(CrossDError, match=r"must be a readable CSV in UTF-8: .* Save it as CSV \(UTF-8\)"):
        find_cases(table(tmp_path, "image\nKöln.nii\n", "latin-1"))


def test_thousands_of_named_cases_take_no_time(tmp_path):
    rows = "".join(f"case {number},a.nii\n" for number in range(4000))
    (tmp_path / "cases.csv").write_text(f"case,image\n{rows}")
    started = time.process_time()
    assert len(read_case_table(tmp_path / "cases.csv")) == 4000
    assert time.process_time() - started < 5
