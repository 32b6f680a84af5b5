"""RibFrac: a cube around each fracture of the three kinds, in the voxels and the place of its scan."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
from crossd.data.sets import prepare_datalist
from crossd.errors import CrossDError


def test_cubes(release, tmp_path, rows, caplog):
    root = release("ribfrac")
    listed = rows(prepare_datalist("ribfrac", root, tmp_path / "out", size=24))
    assert Counter(row["label"] for row in listed) == {"displaced": 7, "nondisplaced": 7, "buckle": 7}
    assert {row["patient"] for row in listed if row["split"] == "val"} == {"RibFrac421", "RibFrac422"}
    assert {row["split"] for row in listed} == {"train", "val"}  # the official split; test labels are not published
    kinds = ("displaced", "nondisplaced", "buckle")
    for row in listed:
        value = int(Path(row["image"]).name.split("_")[1][:2])
        assert row["label"] == kinds[value - 1]
        scan = nibabel.load(next(root.rglob(f"{row['patient']}-image.nii.gz")))
        marks = np.asarray(nibabel.load(next(root.rglob(f"{row['patient']}-label.nii.gz"))).dataobj)
        cube = nibabel.load(tmp_path / "out" / row["image"])
        assert cube.shape == (12, 12, 6)  # 24 mm in voxels of 2 x 2 x 4 mm
        start = np.rint(np.linalg.inv(scan.affine) @ cube.affine @ [0, 0, 0, 1])[:3].astype(int)
        box = tuple(slice(s, s + n) for s, n in zip(start, cube.shape, strict=True))
        np.testing.assert_array_equal(np.asarray(cube.dataobj), np.asarray(scan.dataobj)[box])
        assert (marks[box] == value).sum() == (marks == value).sum()  # the whole fracture is in it
    assert "1 segmental fractures are left out." in caplog.text
    assert "1 unknown fractures are left out." in caplog.text


def test_folds_keep_a_scan_together(release, tmp_path, rows):
    path = prepare_datalist("ribfrac", release("ribfrac"), tmp_path / "out", size=24, folds=3)
    assert path.name == "labels_fold0.csv"
    tested = []
    for fold in range(3):
        listed = rows(tmp_path / "out" / f"labels_fold{fold}.csv")
        splits = {(row["patient"], row["split"]) for row in listed}
        assert len(splits) == 7
        tested += [patient for patient, split in splits if split == "test"]
    assert sorted(tested) == sorted(f"RibFrac{n}" for n in (1, 2, 3, 301, 302, 421, 422))


def test_refused(release, made, tmp_path):
    with pytest.raises(CrossDError, match=r"needs ribfrac-train-info-1\.csv, .* the test labels are not published"):
        prepare_datalist("ribfrac", tmp_path, tmp_path / "out")
    made.table(tmp_path / "empty" / "ribfrac-val-info.csv", ("public_id", "label_id", "label_code"), ("RibFrac9", 1, 1))
    with pytest.raises(CrossDError, match=r"needs RibFrac1-image\.nii\.gz, RibFrac1-label\.nii\.gz and so on"):
        prepare_datalist("ribfrac", tmp_path / "empty", tmp_path / "out")
    root = release("ribfrac")
    made.save(root / "Part1" / "RibFrac1-label.nii.gz", np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(CrossDError, match=r"its image's shape, got \(3, 3, 3\) and \(40, 40, 20\) for"):
        prepare_datalist("ribfrac", root, tmp_path / "out")
    made.table(root / "ribfrac-val-info.csv", ("id", "code"), ("RibFrac421", 1))
    with pytest.raises(CrossDError, match=r"info has the columns public_id, .*ribfrac-val-info\.csv' lacks public_id"):
        prepare_datalist("ribfrac", root, tmp_path / "out")
