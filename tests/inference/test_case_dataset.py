"""Law: whatever bytes the names of files are, every text of a case can be written to a file."""

from __future__ import annotations

import os

import nibabel as nib
import numpy as np
import pytest
from crossd.data import find_cases, preprocessing
from crossd.errors import CrossDError
from crossd.inference import CaseDataset
from crossd.inference.case_dataset import reason

CARD = {"channels": ["x"], "plane": "axial", "spacing": None, "mean": 0.0, "std": 1.0, "intensity": {"mode": "range"}}
LATIN1 = b"sch\xe4del"


@pytest.fixture
def scans(tmp_path):
    """A good scan, a damaged one and an empty one, in a folder whose name is not UTF-8."""
    folder = os.path.join(os.fsencode(tmp_path), LATIN1)
    os.mkdir(folder)
    image = nib.Nifti1Image(np.random.default_rng(0).random((4, 4, 4), dtype=np.float32), None)
    nib.save(image, tmp_path / "good.nii")
    os.rename(tmp_path / "good.nii", os.path.join(folder, b"good.nii"))
    for name, content in ((b"damaged.nii", b"no image"), (b"empty.nii", b"")):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    return tmp_path


def test_names_of_other_bytes(scans):
    items = find_cases(scans)
    items[0]["warnings"].append(f"of {os.fsdecode(LATIN1)}")
    found = {case.case.split("-")[-1]: case for case in CaseDataset(items, preprocessing(CARD))}
    assert {name: case.error is None for name, case in found.items()} == {
        "damaged": False,
        "empty": False,
        "good": True,
    }
    for case in found.values():
        for text in (case.case, case.source, case.error or "", *case.warnings):
            text.encode()  # UTF-8, strictly
        assert r"sch\xe4del" in case.source
    assert r"sch\xe4del" in found["damaged"].error
    assert r"sch\xe4del" in found["damaged"].warnings[0]


def test_a_reason_of_other_bytes():
    assert reason(CrossDError(f"'{os.fsdecode(LATIN1)}' is\nno image")) == r"'sch\xe4del' is no image"
