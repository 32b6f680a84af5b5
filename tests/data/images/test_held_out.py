"""Test images are found in every kind of source, read apart from training, and refused where they do not fit."""

from __future__ import annotations

import io
import logging
import zipfile

import numpy as np
import pytest
from crossd.data.images import read_corpus
from crossd.data.images.corpus import read_held_out
from crossd.errors import CrossDError
from PIL import Image


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((6, 5), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def tree() -> dict[str, bytes]:
    """12 different images: 3 of each class in train, 2 in val, 1 in test."""
    values = iter(range(10, 200, 7))
    counts = {"train": 3, "val": 2, "test": 1}
    return {
        f"{split}/{label}/{number}.png": png(next(values))
        for split, count in counts.items()
        for label in ("ct", "mr")
        for number in range(count)
    }


@pytest.fixture(params=["folder", "zip", "list", "radimagenet", "npz"])
def source(request, tmp_path):
    files = tree()
    if request.param == "npz":
        arrays = {}
        for split in ("train", "val", "test"):
            found = [(content, "ct" not in name) for name, content in files.items() if name.startswith(split)]
            arrays[f"{split}_images"] = np.stack([np.asarray(Image.open(io.BytesIO(content))) for content, _ in found])
            arrays[f"{split}_labels"] = np.array([[label] for _, label in found], np.uint8)
        np.savez(tmp_path / "small.npz", **arrays)
        return tmp_path / "small.npz"
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "small.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(f"around/{name}", content)
        return tmp_path / "small.zip"
    for name, content in files.items():
        path = tmp_path / "small" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if request.param == "folder":
        return tmp_path / "small"
    rows = [(f"small/{name}", name.split("/")[1], name.split("/")[0]) for name in files]
    if request.param == "list":
        lines = ["filename,label,split"] + [",".join(row) for row in rows]
        (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
        return tmp_path / "list.csv"
    for split in ("train", "val", "test"):
        lines = ["filename,label"] + [f"{name},{label}" for name, label, of in rows if of == split]
        (tmp_path / f"Ai_{split}.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "Ai_train.csv"


def test_the_test_images_of_every_source(source):
    corpus = read_corpus(str(source))
    before = [*corpus["train"], *corpus["val"]]
    found = read_held_out(corpus)
    assert found["counts"] == {"test": 2, "unreadable": 0, "in_training": 0}
    assert [item["label"] for item in found["items"]] == [0, 1]
    values = [int(found["store"].read(*item["image"])[0, 0, 0]) for item in found["items"]]
    assert values == [80, 87]  # the last two of the tree
    seen = {int(corpus["store"].read(*item["image"])[0, 0, 0]) for item in before}
    assert not seen & set(values)
    assert [*corpus["train"], *corpus["val"]] == before


def test_a_list_however_its_columns_are_written(tmp_path):
    for name, content in tree().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    rows = [f"{name},{name.split('/')[1]},{name.split('/')[0]}" for name in tree()]
    (tmp_path / "list.csv").write_text("\n".join(["filename, Label,Split", *rows]) + "\n")
    corpus = read_corpus(str(tmp_path / "list.csv"))
    assert not any("test/" in item["image"][1] for item in [*corpus["train"], *corpus["val"]])
    assert read_held_out(corpus)["counts"]["test"] == 2


def test_a_test_list_without_labels_stops_the_test_alone(tmp_path):
    for name, content in tree().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    rows = [f"{name},{name.split('/')[1]}" for name in tree() if name.startswith("train")]
    (tmp_path / "my_train.csv").write_text("\n".join(["filename,label", *rows]) + "\n")
    (tmp_path / "my_test.csv").write_text("filename\ntest/ct/0.png\n")
    corpus = read_corpus(str(tmp_path / "my_train.csv"), val_fraction=0.3)
    with pytest.raises(CrossDError, match=r"of the classes of training, ct, mr; got '' for test/ct/0\.png"):
        read_held_out(corpus)


def test_folders_that_are_links(tmp_path):
    for name, content in tree().items():
        path = tmp_path / "elsewhere" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "set").mkdir()
    for split in ("train", "val", "test"):
        (tmp_path / "set" / split).symlink_to(tmp_path / "elsewhere" / split)
    assert read_held_out(read_corpus(str(tmp_path / "set")))["counts"]["test"] == 2


def test_what_is_among_the_training_images_is_counted(tmp_path, caplog):
    files = tree()
    files["test/ct/0.png"] = files["train/ct/0.png"]
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "test/ct/broken.png").write_bytes(b"no image")
    with caplog.at_level(logging.WARNING):
        counts = read_held_out(read_corpus(str(tmp_path)))["counts"]
    assert counts == {"test": 2, "unreadable": 1, "in_training": 1}
    assert "1 of 2 test images are among the training images too" in caplog.text


def test_refusals(tmp_path):
    for name, content in tree().items():
        if not name.startswith("test"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
    with pytest.raises(CrossDError, match=r"got none in .*Put them in test/CLASS/"):
        read_held_out(read_corpus(str(tmp_path)))
    (tmp_path / "test" / "us").mkdir(parents=True)
    (tmp_path / "test" / "us" / "0.png").write_bytes(b"")
    with pytest.raises(CrossDError, match="of the classes of training, ct, mr; got 'us'"):
        read_held_out(read_corpus(str(tmp_path)))
    (tmp_path / "test" / "us").rename(tmp_path / "test" / "ct")
    with pytest.raises(CrossDError, match="Some images must be readable, got none of 1"):
        read_held_out(read_corpus(str(tmp_path)))
