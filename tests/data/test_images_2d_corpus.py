"""Sources joined to one corpus: class names, splits, duplicates, what cannot be read, and how much is taken."""

from __future__ import annotations

import csv
import io
import logging
import zipfile
from collections import Counter

import numpy as np
import pytest
import torch
from crossd.data.images import ReadImage2Dd, read_corpus
from crossd.data.images.corpus import read_held_out
from crossd.data.splits import stratified_split
from crossd.errors import CrossDError
from PIL import Image


def png(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def random_image(seed, size=(6, 5)):
    return np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """20 images of each of ct and mr, without a split."""
    for number in range(40):
        path = tmp_path / "set" / ("ct" if number % 2 else "mr") / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(random_image(number)))
    return tmp_path / "set"


@pytest.fixture
def medmnist(tmp_path):
    path = tmp_path / "chest.npz"
    images = np.stack([random_image(100 + i) for i in range(10)])
    labels = np.arange(10, dtype=np.uint8) % 2
    images[1] = images[7]  # a train image that is in val too
    np.savez(
        path,
        **{f"{s}_images": images[i:j] for s, i, j in (("train", 0, 6), ("val", 6, 10))},
        **{f"{s}_labels": labels[i:j, None] for s, i, j in (("train", 0, 6), ("val", 6, 10))},
    )
    return path


def counts(corpus, split):
    return Counter(corpus["class_names"][item["label"]] for item in corpus[split])


def test_a_split_is_stratified_and_repeats(folder):
    corpus = read_corpus(folder, val_fraction=0.2)
    assert corpus["class_names"] == ["ct", "mr"]
    assert counts(corpus, "train") == {"ct": 16, "mr": 16}
    assert counts(corpus, "val") == {"ct": 4, "mr": 4}
    cases = [item["case"] for item in corpus["val"]]
    assert [item["case"] for item in read_corpus(str(folder), val_fraction=0.2)["val"]] == cases
    assert [item["case"] for item in read_corpus([folder], val_fraction=0.2, seed=1)["val"]] != cases


def test_sources_are_joined(folder, medmnist, tmp_path):
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as file:
        for number in range(4):
            file.writestr(f"{'ct' if number % 2 else 'us'}/{number}.png", png(random_image(50 + number)))
    again = tmp_path / "again" / "chest.npz"
    again.parent.mkdir()
    again.write_bytes(medmnist.read_bytes())
    corpus = read_corpus([folder, medmnist, tmp_path / "more.zip", again], val_fraction=0.25)
    assert corpus["class_names"] == [
        *["set/ct", "mr", "chest/0", "chest/1", "more/ct", "us"],  # only names that collide get their source's
        *["chest_2/0", "chest_2/1"],
    ]
    read = ReadImage2Dd("image", corpus["store"])
    for row, item in zip(corpus["rows"], [*corpus["train"], *corpus["val"]], strict=False):
        assert len(row) == 5
        assert read(item)["image"].shape == (1, 6, 5)
    labels = {row[2] for row in corpus["rows"]}
    assert labels == set(corpus["class_names"])


def test_equal_images_stay_in_one_split(folder):
    for number in range(0, 38, 2):  # every mr image twice
        name = folder / "mr" / f"{number:02}.png"
        Image.open(name).save(folder / "mr" / f"copy{number:02}.bmp")  # another file, the same values
    corpus = read_corpus(folder, val_fraction=0.3)
    assert corpus["counts"]["duplicates"] == 19
    assert corpus["counts"]["leaking"] == 0
    contents = {
        split: {corpus["store"].read(*item["image"]).tobytes() for item in corpus[split]} for split in ("train", "val")
    }
    assert not contents["train"] & contents["val"]
    assert len(corpus["train"]) + len(corpus["val"]) == 59  # nothing is lost


def test_an_image_of_train_that_is_in_val_is_left_out_of_train(medmnist, caplog):
    with caplog.at_level(logging.INFO):
        corpus = read_corpus(medmnist)
    assert (len(corpus["train"]), len(corpus["val"])) == (5, 4)
    assert "train/1" not in {item["image"][1] for item in corpus["train"]}
    assert "1 duplicates, 0 contradictory, 1 leaking, 5 train, 4 val" in caplog.text
    assert len(read_corpus(medmnist, check_images=False)["train"]) == 6  # nobody looked


def test_one_image_with_two_labels_is_counted(folder):
    (folder / "ct" / "99.png").write_bytes((folder / "mr" / "00.png").read_bytes())
    assert read_corpus(folder)["counts"]["contradictory"] == 1


def test_patients_stay_in_one_split(folder, tmp_path):
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    with (folder / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("filename", "label", "patient"), *((n, n.split("/")[0], f"p{i % 7}") for i, n in enumerate(names))]
        )
    corpus = read_corpus(folder / "list.csv", val_fraction=0.3)
    patients = {split: {row[3] for row in corpus["rows"] if row[4] == split} for split in ("train", "val")}
    assert patients["train"]
    assert patients["val"]
    assert not patients["train"] & patients["val"]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_unreadable_images_are_listed(folder, num_workers):
    for name, content in (("ct/01.png", b""), ("mr/02.png", b"no image"), ("ct/03.png", png(random_image(3))[:60])):
        (folder / name).write_bytes(content)
    corpus = read_corpus(folder, num_workers=num_workers)
    assert sorted(image for _, image, _ in corpus["skipped"]) == ["ct/01.png", "ct/03.png", "mr/02.png"]
    assert all(source == str(folder) for source, _, _ in corpus["skipped"])
    assert "cannot identify image" in corpus["skipped"][0][2]
    assert corpus["counts"]["unreadable"] == 3
    assert len(corpus["rows"]) == 37


def test_limit_per_class(folder):
    corpus = read_corpus(folder, limit_per_class=10, val_fraction=0.2)
    assert counts(corpus, "train") + counts(corpus, "val") == {"ct": 10, "mr": 10}
    cases = {row[1] for row in corpus["rows"]}
    assert {row[1] for row in read_corpus(folder, limit_per_class=10)["rows"]} == cases
    assert {row[1] for row in read_corpus(folder, limit_per_class=10, seed=5)["rows"]} != cases
    with pytest.raises(CrossDError, match=r"limit_per_class must be a number of images, 1 or more, or null, got 0"):
        read_corpus(folder, limit_per_class=0)


def test_only_as_much_is_kept_as_there_is_room(folder):
    assert len(read_corpus(folder)["store"].kept) == 40
    corpus = read_corpus(folder, cache_gb=100 / 2**30)  # bytes: three images of 30
    assert len(corpus["store"].kept) == 3
    for item in corpus["train"]:
        number = int(item["image"][1][3:5])
        assert np.array_equal(corpus["store"].read(*item["image"])[0], random_image(number))


def test_the_global_generator_is_not_drawn_from(folder):
    state = torch.get_rng_state()
    read_corpus(folder, num_workers=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_refusals(folder, tmp_path):
    with pytest.raises(CrossDError, match=r"Pre-training needs images, got none\. Pass --images"):
        read_corpus(None)
    with pytest.raises(CrossDError, match=r"val_fraction must be between 0 and 1, got 1"):
        read_corpus(folder, val_fraction=1)
    one = tmp_path / "one" / "ct"
    one.mkdir(parents=True)
    (one / "a.png").write_bytes(png(random_image(0)))
    with pytest.raises(CrossDError, match=r"Two classes or more are needed, got ct in .*one"):
        read_corpus(one.parent)
    (tmp_path / "two" / "train" / "ct").mkdir(parents=True)
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(CrossDError, match=r"Some images must be readable, got none of 40; the first"):
        read_corpus(folder)
    for path in (folder / "ct").iterdir():
        path.write_bytes(png(random_image(int(path.stem))))
    with pytest.raises(CrossDError, match=r"Every class needs a training image that can be read, got none of mr"):
        read_corpus(folder)


def test_classes_without_validation_images_are_named(folder, caplog):
    for split in ("train", "val"):
        (folder / split).mkdir()
    (folder / "ct").rename(folder / "train" / "ct")
    (folder / "mr").rename(folder / "train" / "mr")
    (folder / "val" / "ct").mkdir()
    (folder / "val" / "mr").mkdir()
    with pytest.raises(CrossDError, match=r"judged on validation images, got none\. Add some to val.*leave val out"):
        read_corpus(folder)
    (folder / "train" / "ct" / "01.png").rename(folder / "val" / "ct" / "01.png")
    read_corpus(folder)
    assert "1 of 2 classes have no validation image" in caplog.text


@pytest.mark.parametrize("of_list", [False, True])
def test_val_is_split_off_where_there_is_train_and_test(folder, tmp_path, of_list):
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    held = {name: name[3:5] >= "30" for name in names}
    if of_list:
        rows = [(name, name[:2], "Test" if held[name] else "Train") for name in names]
        source = folder / "list.csv"
        with source.open("w", newline="") as file:
            csv.writer(file).writerows([("filename", "label", "split"), *rows])
    else:
        source = tmp_path / "split"
        for name in names:
            path = source / ("testing" if held[name] else "Training") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            (folder / name).rename(path)
    corpus = read_corpus(source, val_fraction=0.2)
    assert corpus["class_names"] == ["ct", "mr"]
    assert counts(corpus, "train") == {"ct": 12, "mr": 12}
    assert counts(corpus, "val") == {"ct": 3, "mr": 3}
    test = read_held_out(corpus)
    assert test["counts"] == {"test": 10, "unreadable": 0, "in_training": 0}
    assert all(int(item["image"][1][-6:-4]) >= 30 for item in test["items"])
    assert not any(int(item["image"][1][-6:-4]) >= 30 for item in [*corpus["train"], *corpus["val"]])


def test_splitting_many_images_takes_seconds_not_minutes():
    shares = {"train": 0.9, "val": 0.1}
    splits = stratified_split([str(i) for i in range(10000)], [[i % 50] for i in range(10000)], shares)
    assert Counter(splits)["val"] == 1000


@pytest.mark.slow
def test_real_images(shared_data):
    names = ["mednist/medical_mnist.zip", "medmnist/breastmnist.npz", "medmnist/pneumoniamnist_reassembled.npz"]
    corpus = read_corpus([shared_data / name for name in names], limit_per_class=30)
    assert len(corpus["class_names"]) == 10
    assert corpus["class_names"][:7] == ["AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT", "breastmnist/0"]
    assert sum(counts(corpus, "train").values()) + sum(counts(corpus, "val").values()) == sum(
        corpus["counts"][split] for split in ("train", "val")
    )
    whole = read_corpus(shared_data / names[2])
    assert whole["counts"]["leaking"] == 10  # 8 pictures of val, two of them twice in train
    assert (len(whole["train"]), len(whole["val"])) == (4698, 524)
