"""The official arrays arrive unchanged in NIfTI, with their official split and class names; other files are refused."""

from __future__ import annotations

import csv
import hashlib

import numpy as np
import pytest
from crossd.data.sets import medmnist, prepare_datalist
from crossd.errors import CrossDError

COUNTS = {"train": 3, "val": 1, "test": 2}


@pytest.fixture(params=["(N,)", "(N, 1)"])
def small_set(request, tmp_path, monkeypatch):
    """A file in the official layout, registered with its own MD5; returns its folder and its arrays."""
    random = np.random.default_rng(0)
    arrays = {}
    for split, count in COUNTS.items():
        arrays[f"{split}_images"] = random.choice(np.array([0, 255], dtype=np.uint8), size=(count, 4, 5, 6))
        labels = (np.arange(count) % 2).astype(np.uint8)
        arrays[f"{split}_labels"] = labels if request.param == "(N,)" else labels[:, None]
    path = tmp_path / "vesselmnist3d_64.npz"
    np.savez_compressed(path, **arrays)
    register(monkeypatch, path)
    return tmp_path, arrays


def register(monkeypatch, path):
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(medmnist.SETS["vesselmnist3d"].md5, 64, digest)


def test_volumes_labels_and_split(small_set, tmp_path):
    import nibabel

    root, arrays = small_set
    labels = prepare_datalist("vesselmnist3d", root, tmp_path / "out")
    with labels.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["split"] for row in rows] == ["train"] * 3 + ["val"] + ["test"] * 2
    for row in rows:
        split, index = row["image"].removeprefix("images/").removesuffix(".nii.gz").split("_")
        stored = np.asarray(nibabel.load(tmp_path / "out" / row["image"]).dataobj)
        np.testing.assert_array_equal(stored.T, arrays[f"{split}_images"][int(index)])
        assert row["label"] == ("healthy", "aneurysm")[int(arrays[f"{split}_labels"].reshape(-1)[int(index)])]


def test_one_case_is_in_memory_at_a_time(small_set):
    root, arrays = small_set
    cases = medmnist.read_medmnist(root / "vesselmnist3d_64.npz", "train")
    volume, label = next(cases)
    np.testing.assert_array_equal(volume, arrays["train_images"][0])
    assert label == 0
    assert volume.base is not None  # a view of the bytes just read, not of the whole array
    assert volume.base.size == volume.size


def test_the_datalist_is_what_training_reads(small_set, tmp_path):
    from crossd.data.labels import read_labels

    labels = prepare_datalist("vesselmnist3d", small_set[0], tmp_path / "out", size=None)
    found = read_labels(None, labels, classes=["healthy", "aneurysm"])
    assert {split: len(found[split]) for split in COUNTS} == COUNTS
    assert [case["label"] for case in found["train"]] == [0, 1, 0]


def test_a_missing_file_says_where_to_get_it(tmp_path):
    with pytest.raises(
        CrossDError, match=r"vesselmnist3d_64\.npz does not exist\. Download it from https://zenodo\.org"
    ):
        prepare_datalist("vesselmnist3d", tmp_path, tmp_path)


def test_an_altered_file_is_refused(small_set, tmp_path, monkeypatch):
    monkeypatch.setitem(medmnist.SETS["vesselmnist3d"].md5, 64, "0" * 32)
    with pytest.raises(CrossDError, match=rf"has MD5 {'0' * 32}; .* has [0-9a-f]{{32}}\. Download it"):
        prepare_datalist("vesselmnist3d", small_set[0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_size_that_is_not_published(tmp_path):
    with pytest.raises(CrossDError, match=r"published with size \[28, 64\], got 128"):
        prepare_datalist("vesselmnist3d", tmp_path, tmp_path, size=128)


def test_an_option_the_set_does_not_have(tmp_path):
    with pytest.raises(CrossDError, match="Options of vesselmnist3d: size; got plane"):
        prepare_datalist("vesselmnist3d", tmp_path, tmp_path, plane="axial")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((1, 2, 2, 2)), "labels": np.zeros(1)}, "lacks train_images, train_labels"),
        ({"train_images": np.zeros((1, 2, 2)), "train_labels": np.zeros(1)}, r"has shape \(1, 2, 2\) and 1 labels"),
        ({"train_images": np.zeros((3, 2, 2, 2)), "train_labels": np.zeros(2)}, r"\(3, 2, 2, 2\) and 2 labels"),
    ],
    ids=["no splits", "images", "labels missing"],
)
def test_another_layout_is_refused(tmp_path, monkeypatch, arrays, message):
    path = tmp_path / "vesselmnist3d_64.npz"
    np.savez(path, **arrays)
    register(monkeypatch, path)
    with pytest.raises(CrossDError, match=message):
        prepare_datalist("vesselmnist3d", tmp_path, tmp_path / "out")


@pytest.mark.parametrize("size", [28, 64])
def test_the_official_files(shared_data, size):
    official = {"train": (1185, 150), "val": (169, 22), "test": (339, 43)}  # medmnist.com: healthy, aneurysm
    path = shared_data / "medmnist" / medmnist.SETS["vesselmnist3d"].file_name(size)
    for split, counts in official.items():
        cases = [(volume.shape, label) for volume, label in medmnist.read_medmnist(path, split)]
        assert {shape for shape, _ in cases} == {(size, size, size)}
        assert tuple(sum(label == wanted for _, label in cases) for wanted in (0, 1)) == counts


def test_the_official_set_is_prepared(shared_data, tmp_path):
    labels = prepare_datalist("vesselmnist3d", shared_data / "medmnist", tmp_path)
    assert len(labels.read_text().splitlines()) == 1 + 1335 + 191 + 382
    assert len(list((tmp_path / "images").glob("*.nii.gz"))) == 1335 + 191 + 382
