"""The official arrays arrive unchanged, with their official split and class names; other files are refused."""

from __future__ import annotations

import hashlib
import re
import shutil

import nibabel
import numpy as np
import pytest
from crossd.data.npz_arrays import medmnist_split
from crossd.data.sets import DATASETS, medmnist, prepare_datalist
from crossd.data.sets.medmnist import INFO
from crossd.errors import CrossDError
from PIL import Image


@pytest.fixture
def small(tmp_path, made):
    """A made file in the official form, taken for the official one."""

    def make(name="vesselmnist3d", size=28, counts=(3, 1, 2), **options):
        made.medmnist_file(name, size, counts, **options)(tmp_path)
        made.official(tmp_path, name, size)
        return np.load(tmp_path / medmnist.file_of(name, size).name)

    return make


@pytest.mark.parametrize("compressed", [True, False])
def test_volumes_labels_and_split(small, tmp_path, rows, compressed):
    arrays = small(compressed=compressed)
    labels = prepare_datalist("vesselmnist3d", tmp_path, tmp_path / "out", size=28)
    listed = rows(labels)
    assert [row["split"] for row in listed] == ["train"] * 3 + ["val"] + ["test"] * 2
    for row in listed:
        split, index = row["image"].removeprefix("images/").removesuffix(".nii.gz").split("_")
        stored = np.asarray(nibabel.load(tmp_path / "out" / row["image"]).dataobj)
        np.testing.assert_array_equal(stored.T, arrays[f"{split}_images"][int(index)])
        assert row["label"] == ("healthy", "aneurysm")[int(arrays[f"{split}_labels"].reshape(-1)[int(index)])]


def test_the_datalist_is_what_training_reads(small, tmp_path):
    from crossd.data.labels import read_labels

    small()
    labels = prepare_datalist("vesselmnist3d", tmp_path, tmp_path / "out", size=28)
    found = read_labels(None, labels, classes=["healthy", "aneurysm"])
    assert {split: len(found[split]) for split in ("train", "val", "test")} == {"train": 3, "val": 1, "test": 2}
    assert [case["label"] for case in found["train"]] == [0, 1, 0]


@pytest.mark.parametrize(
    "name", [name for name, info in INFO.items() if info.spatial_dims == 2 and not info.multilabel]
)
def test_images_of_every_2d_set(name, small, tmp_path, rows):
    from crossd.data.images.corpus import open_source

    classes = len(INFO[name].class_names)
    arrays = small(name, 28, (classes, classes, 2))
    labels = prepare_datalist(name, tmp_path, tmp_path / "out", size=28)
    listed = rows(labels)
    assert [row["label"] for row in listed[:classes]] == list(INFO[name].class_names)
    pixels = np.asarray(Image.open(tmp_path / "out" / listed[1]["filename"]))
    np.testing.assert_array_equal(pixels, arrays["train_images"][1])
    assert open_source(labels).class_names == sorted(INFO[name].class_names)  # 2D pre-training takes the list


def test_several_findings_in_an_image(small, tmp_path, rows):
    arrays = small("chestmnist", 28, (4, 2, 2))
    listed = rows(prepare_datalist("chestmnist", tmp_path, tmp_path / "out", size=28))
    assert "label" not in listed[0]
    for row, label in zip(listed, arrays["train_labels"], strict=False):
        assert [int(row[c]) for c in INFO["chestmnist"].class_names] == label.tolist()


def test_the_facts_are_complete():
    assert len(INFO) == 18
    md5 = [digest for info in INFO.values() for digest in info.md5.values()]
    assert len(md5) == len(set(md5)) == 12 * 4 + 6 * 2
    assert all(re.fullmatch("[0-9a-f]{32}", digest) for digest in md5)
    assert sum(INFO["fracturemnist3d"].counts) == DATASETS["fracturemnist3d"].facts.paper.count
    for name, info in INFO.items():
        assert list(info.md5) == ([28, 64, 128, 224] if info.spatial_dims == 2 else [28, 64]), name
        assert (paper := DATASETS[name].facts.paper) is None or paper.classes == len(info.class_names), name
        # the paper counts one OrganC image fewer
        assert paper is None or paper.count == sum(info.counts) - (name == "organcmnist"), name


def test_what_differs_from_the_release_and_the_paper_is_said(small, tmp_path, caplog):
    small()
    prepare_datalist("vesselmnist3d", tmp_path, tmp_path / "out", size=28)
    assert "vesselmnist3d: 6 cases here, 1908 in the official release." in caplog.text
    assert "vesselmnist3d: size (1, 28, 28, 28) here, (1, 64, 64, 64) in Table V of the paper." in caplog.text
    assert "values" not in caplog.text  # they are 0 to 255 here as there


def test_a_missing_file_says_where_to_get_it(tmp_path):
    address = r"https://zenodo\.org/records/10519652/files/vesselmnist3d_64\.npz\?download=1"
    message = rf"vesselmnist3d_64\.npz does not exist\. Download it from {address} \(MD5 6bb27.*, CC BY 4\.0\) into"
    with pytest.raises(CrossDError, match=message):
        prepare_datalist("vesselmnist3d", tmp_path, tmp_path)


def test_an_altered_file_is_refused_unless_it_is_wanted(small, tmp_path, monkeypatch, caplog):
    small()
    monkeypatch.setitem(INFO["vesselmnist3d"].md5, 28, "0" * 32)
    with pytest.raises(CrossDError, match=rf"has MD5 {'0' * 32}, .* has [0-9a-f]{{32}}\. Download it .* --unverified"):
        prepare_datalist("vesselmnist3d", tmp_path, tmp_path / "out", size=28)
    assert not (tmp_path / "out").exists()
    prepare_datalist("vesselmnist3d", tmp_path, tmp_path / "out", size=28, unverified=True)
    assert "is not the official file: its MD5 is" in caplog.text


def test_sizes_and_options(tmp_path):
    with pytest.raises(CrossDError, match=r"published with size \[28, 64\], got 128"):
        prepare_datalist("vesselmnist3d", tmp_path, tmp_path, size=128)
    with pytest.raises(CrossDError, match="Options of vesselmnist3d: size, download, unverified; got plane"):
        prepare_datalist("vesselmnist3d", tmp_path, tmp_path, plane="axial")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((1, 2, 2, 2)), "labels": np.zeros(1)}, "lacks train_images, train_labels"),
        ({"train_images": np.zeros((1, 2, 2)), "train_labels": np.zeros(1)}, r"has shape \(1, 2, 2\) and 1 labels"),
        ({"train_images": np.zeros((3, 2, 2, 2)), "train_labels": np.zeros(2)}, r"shape \(3, 2, 2, 2\) and 2 labels"),
    ],
    ids=["no splits", "images", "labels missing"],
)
def test_another_layout_is_refused(tmp_path, made, arrays, message):
    np.savez(tmp_path / "vesselmnist3d.npz", **arrays)
    made.official(tmp_path, "vesselmnist3d", 28)
    with pytest.raises(CrossDError, match=message):
        prepare_datalist("vesselmnist3d", tmp_path, tmp_path / "out", size=28)


OFFICIAL = {  # medmnist.com, by class: train, val, test
    "vesselmnist3d": ((1185, 150), (169, 22), (339, 43)),
    "adrenalmnist3d": ((929, 259), (76, 22), (229, 69)),
}


@pytest.mark.parametrize("size", [28, 64])
@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_files(shared_data, name, size):
    path = shared_data / "medmnist" / medmnist.file_of(name, size).name
    assert hashlib.md5(path.read_bytes()).hexdigest() == INFO[name].md5[size]
    for split, counts in zip(("train", "val", "test"), OFFICIAL[name], strict=True):
        images, labels = medmnist_split(path, split, 3)
        assert images.shape == (sum(counts), size, size, size)
        assert tuple((labels == wanted).sum() for wanted in (0, 1)) == counts


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_set_is_prepared(name, shared_data, tmp_path, caplog):
    labels = prepare_datalist(name, shared_data / "medmnist", tmp_path)
    total = sum(map(sum, OFFICIAL[name]))
    assert len(labels.read_text().splitlines()) == 1 + total
    assert len(list((tmp_path / "images").glob("*.nii.gz"))) == total
    assert caplog.text == ""  # nothing differs, neither from the release nor, for vessels, from the paper


@pytest.mark.parametrize(
    ("name", "file"), [("breastmnist", "breastmnist.npz"), ("pneumoniamnist", "pneumoniamnist_reassembled.npz")]
)
def test_real_images_that_were_saved_again(name, file, shared_data, tmp_path, rows):
    shutil.copy(shared_data / "medmnist" / file, tmp_path / f"{name}.npz")
    with pytest.raises(CrossDError, match="or take it as it is with --unverified"):
        prepare_datalist(name, tmp_path, tmp_path / "out", size=28)
    if name == "breastmnist":
        listed = rows(prepare_datalist(name, tmp_path, tmp_path / "out", size=28, unverified=True))
        splits = [row["split"] for row in listed]
        assert tuple(splits.count(split) for split in ("train", "val", "test")) == INFO[name].counts


def test_folds_are_said_to_know_no_patients(small, tmp_path, caplog):
    small(counts=(6, 3, 3))
    prepare_datalist("vesselmnist3d", tmp_path, tmp_path / "out", size=28)
    assert "patients" not in caplog.text
    prepare_datalist("vesselmnist3d", tmp_path, tmp_path / "out", size=28, folds=3, fold=0)
    assert "vesselmnist3d names no patients: folds may part what its official split keeps together." in caplog.text


def test_fractions_that_are_not_used_are_said_to_be_so(small, tmp_path, rows, caplog):
    small(counts=(6, 3, 3))
    labels = prepare_datalist("vesselmnist3d", tmp_path, tmp_path / "out", size=28, split_fractions=[0.5, 0.25, 0.25])
    assert [row["split"] for row in rows(labels)] == ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    assert "vesselmnist3d has a split, which is kept: --split_fractions is not used." in caplog.text
