"""The cubes show what their class says, lie inside their volume, and stay where they were in space."""

from __future__ import annotations

import csv

import nibabel
import numpy as np
import pytest
from crossd.data.sets import prepare_datalist
from crossd.data.sets.hippocampus_parts import PARTS, cube_starts
from crossd.errors import CrossDError

AFFINE = np.array([[0, -1, 0, 5], [1, 0, 0, -7], [0, 0, 2, 3], [0, 0, 0, 1.0]])


def volume(seed):
    """A volume whose voxels are their own position, and a label map of two boxes."""
    shape = (20 + seed, 30, 18)
    i, j, k = np.indices(shape)
    labels = np.zeros(shape, np.uint8)
    labels[6:12, 18:26, 5:11] = 1
    labels[8:12, 6:18, 7:11] = 2
    return (i * 10000 + j * 100 + k).astype(np.int32), labels


@pytest.fixture
def task04(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for seed in range(8):
        for folder, values in zip(("images", "labels"), volume(seed), strict=True):
            nibabel.save(nibabel.Nifti1Image(values, AFFINE), tmp_path / folder / f"hippocampus_{seed:03}.nii.gz")
    (tmp_path / "images" / "._hippocampus_000.nii.gz").write_bytes(b"left by a Mac")
    nibabel.save(nibabel.Nifti1Image(volume(0)[0], AFFINE), tmp_path / "images" / "hippocampus_118.nii.gz")  # no label
    return tmp_path


def test_cubes(task04, tmp_path):
    path = prepare_datalist("hippocampusparts", task04, tmp_path / "out", size=8)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    for row in rows:
        cube = nibabel.load(tmp_path / "out" / row["image"])
        assert cube.shape == (8, 8, 8)
        first = int(cube.dataobj[0, 0, 0])
        start = np.array([first // 10000, first // 100 % 100, first % 100])
        np.testing.assert_allclose(cube.affine @ [0, 0, 0, 1], AFFINE @ [*start, 1])  # the same place in space
        labels = volume(int(row["patient"][-3:]))[1][tuple(slice(s, s + 8) for s in start)]
        assert labels.shape == (8, 8, 8)  # inside the volume
        if row["label"] == "background":
            assert (labels > 0).sum() == 0
        else:
            value = 1 if row["label"] == "anterior" else 2
            np.testing.assert_allclose(np.argwhere(labels == value).mean(0), 3.5, atol=1)


def test_patients_stay_in_one_split_and_every_split_has_every_class(task04, tmp_path):
    path = prepare_datalist("hippocampusparts", task04, tmp_path / "out", size=8)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    for patient in {row["patient"] for row in rows}:
        own = [row for row in rows if row["patient"] == patient]
        assert [row["label"] for row in own] == list(PARTS)
        assert len({row["split"] for row in own}) == 1
    assert {row["split"] for row in rows} == {"train", "val", "test"}


def test_the_seed_decides_and_a_cube_does_not_depend_on_the_others(task04, tmp_path):
    def read(name, **options):
        path = prepare_datalist("hippocampusparts", task04, tmp_path / name, size=8, **options)
        images = {p.name: np.asarray(nibabel.load(p).dataobj) for p in sorted((path.parent / "images").iterdir())}
        return path.read_text(), images

    text, images = read("one")
    again, same = read("two")
    assert text == again
    assert all(np.array_equal(images[name], same[name]) for name in images)
    few = read("few", cases=3)[1]
    assert len(few) == 9
    assert all(np.array_equal(images[name], few[name]) for name in few)
    other = read("other", seed=1)[1]
    assert not all(np.array_equal(images[name], other[name]) for name in images)


def test_bad_input(task04, tmp_path):
    with pytest.raises(CrossDError, match=r"folders images and labels with volumes of the same names, got none in"):
        prepare_datalist("hippocampusparts", tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(CrossDError, match=r"cases must be 3 to 8, the volumes in .*, got 9"):
        prepare_datalist("hippocampusparts", task04, tmp_path / "out", size=8, cases=9)
    with pytest.raises(CrossDError, match=r"A cube of 19 voxels must fit into the volume, got \(20, 30, 18\)\. Pass"):
        prepare_datalist("hippocampusparts", task04, tmp_path / "out", size=19)
    with pytest.raises(CrossDError, match=r"must show both parts, got none of the posterior one \(2\)"):
        cube_starts((volume(0)[1] == 1).astype(int), 8, np.random.default_rng(0))
    nibabel.save(nibabel.Nifti1Image(volume(1)[1], AFFINE), task04 / "labels" / "hippocampus_000.nii.gz")
    with pytest.raises(CrossDError, match=r"label map has its image's shape, got \(21, 30, 18\) and \(20, 30, 18\)"):
        prepare_datalist("hippocampusparts", task04, tmp_path / "out", size=8)
