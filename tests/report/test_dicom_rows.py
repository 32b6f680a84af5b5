"""A tree of DICOM files in the report: what was read, what failed and what is no scan, with and without names."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from crossd.data import find_cases, read_volume, write_dicom_series

from .made import run
from .test_report_page import Page

pytestmark = pytest.mark.slow  # whole runs

NAME = "DOE JANE"


def transform(item: dict[str, Any]) -> dict[str, Any]:
    return {"image": read_volume(item["image"])}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A scan of which a file is there twice, a localizer, slices that lie at one place, and a report."""
    root = tmp_path / "disk"
    voxels = np.random.default_rng(0).integers(0, 100, (20, 20, 12)).astype(np.int16)
    for name in ("head", "scout", "cut"):
        write_dicom_series(root / NAME / name, voxels, np.eye(4), description=f"{name} of {NAME}")
    for file in sorted((root / NAME / "scout").iterdir()):
        dataset = pydicom.dcmread(file)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        dataset.save_as(file)
    first, *others = sorted((root / NAME / "cut").iterdir())
    for file in others[6:]:
        dataset = pydicom.dcmread(file)
        dataset.ImagePositionPatient = pydicom.dcmread(first).ImagePositionPatient
        dataset.save_as(file)
    second = sorted((root / NAME / "head").iterdir())[1]
    shutil.copy(second, second.with_name(f"{NAME} again.dcm"))
    dataset = pydicom.dcmread(second)
    for name in ("PixelData", "Rows", "Columns"):
        del dataset[name]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    dataset.save_as(root / NAME / f"{NAME} report.dcm")
    return root


def rows(page: Page) -> list[str | None]:
    return [row["data-status"] for row in page.rows()]


def test_no_scans_are_skipped_and_failures_are_failures(tree: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", find_cases(tree), transform=transform, window=None)
    page = Page(tmp_path / "out" / "report.html")
    assert sorted(map(str, rows(page))) == ["failed", "ok", "skipped", "skipped"]
    assert "4 listed 1 ok 1 failed 2 skipped 1 ok with warnings" in page.text
    assert "No scan, skipped: images of localizers, 12 in '…/scout'. For instance: A localizer is no scan" in page.text
    assert "No scan, skipped: structured reports, 1 in" in page.text
    assert "slices are there twice" in page.text
    for row in page.rows():  # only what has an answer has a class
        assert (row["data-predicted"] == '[""]') == (row["data-status"] != "ok")


def test_without_names_no_text_of_the_disk_is_told(tree: Path, tmp_path: Path) -> None:
    items = find_cases(tree)
    told = " ".join(str(item["error"]) + str(item["warnings"]) for item in items)
    assert NAME in told
    assert re.search(r"\d(\.\d+){5}", told)
    run(tmp_path / "out", items, transform=transform, window=None, names=False)
    page = Page(tmp_path / "out" / "report.html")
    kept = [str(value) for _, attributes in page.tags for name, value in attributes.items() if name != "src"]
    text = " ".join([page.text, *kept])  # of pictures the letters are random
    assert "case 4" in text
    for private in (*NAME.split(), "head of", "scout", "again.dcm", str(tmp_path)):
        assert private not in text, private
    assert not re.search(r"\b[12](\.\d+){5}", text)


def test_a_real_object_without_pixels_beside_an_enhanced_one(shared_data: Path, tmp_path: Path) -> None:
    run(tmp_path, find_cases(shared_data / "dicom" / "enhanced"), transform=transform, window=None, slices=3)
    page = Page(tmp_path / "report.html")
    assert "skipped" in rows(page)
    assert set(rows(page)) <= {"ok", "skipped"}
    assert "objects without pixels, 1 in" in page.text
