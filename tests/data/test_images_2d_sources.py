"""Folders, zip files, lists and arrays of images: what is found in them and what is refused."""

from __future__ import annotations

import csv
import io
import zipfile

import numpy as np
import pytest
import torch
from crossd.data.images import open_source
from crossd.errors import CrossDError
from PIL import Image


def png(value, size=(4, 5)):
    file = io.BytesIO()
    Image.new("L", size, value).save(file, "PNG")
    return file.getvalue()


def make(folder, names):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number + 1))
    return folder


def zipped(path, names, **options):
    with zipfile.ZipFile(path, "w") as file:
        for number, name in enumerate(names):
            file.writestr(name, png(number + 1))
    return path


SPLIT = ["train/ct/a.png", "train/mr/deep/er/b.PNG", "val/ct/c.jpeg", "val/mr/d.png"]
PLAIN = ["ct/a.png", "ct/b.png", "mr/c.png"]
KINDS = {"folder": make, "zip": lambda path, names: zipped(path.with_suffix(".zip"), names)}


@pytest.fixture(params=KINDS)
def source_of(request, tmp_path):
    return lambda names: open_source(KINDS[request.param](tmp_path / "set", names))


@pytest.mark.parametrize("wrapper", ["", "outer/", "outer/inner/"])
def test_class_folders_with_splits(source_of, wrapper):
    source = source_of([wrapper + name for name in [*SPLIT, "test/ct/e.png", "__MACOSX/train/ct/._a.png"]])
    assert source.class_names == ["ct", "mr"]
    assert [(r.name.removeprefix(wrapper), r.label, r.split) for r in source.records] == [
        ("train/ct/a.png", "ct", "train"),
        ("train/mr/deep/er/b.PNG", "mr", "train"),
        ("val/ct/c.jpeg", "ct", "val"),
        ("val/mr/d.png", "mr", "val"),
    ]
    assert [int(source.read(record.name)[0, 0, 0]) for record in source.records] == [1, 2, 3, 4]
    assert [(r.name.removeprefix(wrapper), r.label) for r in source.test_records] == [("test/ct/e.png", "ct")]
    assert source.notes == ["the 1 images of test are left alone", "1 other files are not images"]


@pytest.mark.parametrize("wrapper", ["", "outer/"])
def test_class_folders_without_splits(source_of, wrapper):
    source = source_of([wrapper + name for name in [*PLAIN, "readme.txt"]])
    assert [(r.label, r.split) for r in source.records] == [("ct", None), ("ct", None), ("mr", None)]


@pytest.mark.parametrize("names", [("Train", "Val", "Test"), ("training", "valid", "testing"), ("TRAIN", "validation")])
def test_splits_in_other_spellings(source_of, names):
    source = source_of([f"{split}/{label}/a.png" for split in names for label in ("ct", "mr")])
    assert source.class_names == ["ct", "mr"]
    assert [record.split for record in source.records] == ["train", "train", "val", "val"]
    assert [(record.name, record.label) for record in source.test_records] == [
        (f"{split}/{label}/a.png", label) for split in names[2:] for label in ("ct", "mr")
    ]


@pytest.mark.parametrize("wrapper", ["", "outer/", "test/"])
@pytest.mark.parametrize("held", ["", "test", "Testing"])
def test_without_val_it_is_made_from_train(source_of, wrapper, held):
    names = [f"{split}/{label}/a.png" for split in ("Train", held) if split for label in ("ct", "mr")]
    source = source_of([wrapper + name for name in names])
    assert source.class_names == ["ct", "mr"]
    assert [(r.name.removeprefix(wrapper), r.split) for r in source.records] == [(name, None) for name in names[:2]]
    assert [record.name.removeprefix(wrapper) for record in source.test_records] == names[2:]
    assert source.notes[0] == "there is no val, it is split off from train"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Test/ct/a.png", "Val/mr/b.png"], r"needs images in train, got Test, Val without it in .*Name the folder tr"),
        (["test/ct/a.png", "test/mr/b.png"], r"needs images in train, got test without it"),
        (["train/ct/a.png", "ct/b.png", "mr/c.png"], r"either splits .* got train beside ct, mr in .*Move or remove"),
        (["train/ct/a.png", "test/ct/b.png", "more/ct/c.png"], r"got test, train beside more in"),
        (["ct/a.png", "mr/b.png", "Valid/c.png"], r"got Valid beside ct, mr in .*rename a class"),
        (["Train/ct/a.png", "train/mr/b.png"], r"Every split has one folder, got Train, train in .*Join"),
        (["train/1.png", "val/2.png"], r"holds one folder per class, .*got none below train, val in"),
        (["train/train/ct/a.png", "train/val/ct/b.png", "test/ct/c.png"], r"not called like splits, got train, val be"),
    ],
)
def test_splits_are_never_classes(source_of, names, message):
    with pytest.raises(CrossDError, match=message):
        source_of(names)


def test_beside_train_and_val_a_folder_is_left_alone(source_of):
    """As in archives that hold a second copy of themselves."""
    source = source_of(["train/ct/a.png", "val/ct/b.png", "all/train/ct/a.png", "all/val/ct/b.png"])
    assert [(record.name, record.split) for record in source.records] == [
        ("train/ct/a.png", "train"),
        ("val/ct/b.png", "val"),
    ]
    assert source.notes == ["2 images outside of the class folders are not used"]


def test_empty_folders_of_splits(tmp_path):
    make(tmp_path, ["train/ct/a.png", "train/mr/b.png"])
    for name in ("val", "Test"):
        (tmp_path / name).mkdir()
    assert [record.split for record in open_source(tmp_path).records] == [None, None]
    make(tmp_path / "other", PLAIN)
    (tmp_path / "other" / "val").mkdir()
    with pytest.raises(CrossDError, match=r"got val beside ct, mr in"):
        open_source(tmp_path / "other")


def test_classes_that_differ_between_the_splits(source_of):
    with pytest.raises(CrossDError, match=r"same class folders, got .* train lacks us and val lacks ct\. Rename"):
        source_of(["train/ct/a.png", "train/mr/b.png", "val/mr/c.png", "val/us/d.png"])


def test_an_empty_class(tmp_path):
    make(tmp_path, SPLIT)
    (tmp_path / "train/us").mkdir()
    with pytest.raises(CrossDError, match=r"val lacks us"):
        open_source(tmp_path)
    (tmp_path / "val/us").mkdir()
    with pytest.raises(CrossDError, match=r"Every class has images to learn from, got none of us in .* remove"):
        open_source(tmp_path)
    make(tmp_path, ["train/us/a.png"])
    assert open_source(tmp_path).class_names == ["ct", "mr", "us"]  # nothing to validate on is allowed


def test_an_empty_class_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("ct/a.png", png(1))
        file.mkdir("mr") if hasattr(file, "mkdir") else file.writestr("mr/", b"")
    with pytest.raises(CrossDError, match=r"got none of mr in"):
        open_source(tmp_path / "a.zip")


def test_no_images(source_of):
    with pytest.raises(CrossDError, match=r"Images lie in one folder per class.*got none in .* among 1 files"):
        source_of(["ct/readme.txt"])


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/evil.png", "ct/../../evil.png", "ct\\..\\..\\evil.png", "C:/x.png"]
)
def test_names_that_lead_out_of_a_zip(tmp_path, name):
    with pytest.raises(CrossDError, match=r"Names in a zip file stay inside it, got '.*' in .*Do not use this file"):
        open_source(zipped(tmp_path / "evil.zip", ["ct/a.png", name]))
    assert [path.name for path in tmp_path.rglob("*")] == ["evil.zip"]


def test_a_zip_that_is_cut_short(tmp_path):
    path = zipped(tmp_path / "a.zip", PLAIN)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CrossDError, match=r"A zip file of images must be whole, got .*Download or copy it again"):
        open_source(path)


def test_an_encrypted_zip(tmp_path):
    path = zipped(tmp_path / "a.zip", PLAIN)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    path.write_bytes(bytes(content))
    with pytest.raises(CrossDError, match=r"has no password, got ct/a\.png encrypted"):
        open_source(path)


class _Reads(torch.utils.data.Dataset):
    def __init__(self, source):
        self.source = source

    def __len__(self):
        return len(self.source.records)

    def __getitem__(self, index):
        return int(self.source.read(self.source.records[index].name)[0, 0, 0])


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_zip_is_read_by_several_processes_at_once(tmp_path, context):
    values = [1 + number % 250 for number in range(300)]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for number, value in enumerate(values):
            file.writestr(f"{'ct' if number % 2 else 'mr'}/{number:03}.png", png(value, (16 + number, 9)))
    source = open_source(tmp_path / "a.zip")
    expected = [values[int(record.name[3:6])] for record in source.records]
    source.read(source.records[0].name)  # open in this process too
    loader = torch.utils.data.DataLoader(
        _Reads(source), batch_size=None, num_workers=2, multiprocessing_context=context
    )
    assert [int(value) for value in loader] == expected


def arrays(path, labels, channels=(), **changes):
    random = np.random.default_rng(0)
    content = {}
    for split, count in (("train", 4), ("val", 2), ("test", 3)):
        content[f"{split}_images"] = random.integers(0, 255, (count, 6, 7, *channels), dtype=np.uint8)
        content[f"{split}_labels"] = labels(np.arange(count, dtype=np.uint8) % 2)
    content |= changes
    np.savez(path, **{name: value for name, value in content.items() if value is not None})
    return path, content


@pytest.mark.parametrize("labels", [lambda x: x, lambda x: x[:, None]], ids=["(N,)", "(N, 1)"])
@pytest.mark.parametrize("channels", [(), (3,), (1,)], ids=["grey", "RGB", "one channel"])
def test_medmnist_files(tmp_path, labels, channels):
    path, content = arrays(tmp_path / "a.npz", labels, channels)
    source = open_source(path)
    assert source.class_names == ["0", "1"]
    assert [(record.label, record.split) for record in source.records] == [
        *[(str(i % 2), "train") for i in range(4)],
        *[(str(i % 2), "val") for i in range(2)],
    ]
    image = content["val_images"][1]
    expected = image.reshape(6, 7)[None] if channels != (3,) else image.transpose(2, 0, 1)
    assert np.array_equal(source.read("val/1", 3 if channels == (3,) else 1), expected)
    assert set(source.arrays) == {"train", "val"}  # the test images are not even loaded
    assert source.notes == ["its test split is left alone"]


def test_class_numbers_are_in_order(tmp_path):
    path, _ = arrays(tmp_path / "a.npz", lambda x: x, train_labels=np.array([10, 9, 1, 0]))
    assert open_source(path).class_names == ["0", "1", "9", "10"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_labels": None}, r"A MedMNIST file holds .*: '.*a\.npz' lacks val_labels and has train_images"),
        ({"train_images": np.zeros((4, 6, 7, 8), np.uint8)}, r"train_images of 2D .* has shape \(4, 6, 7, 8\) and 4"),
        ({"train_labels": np.zeros((4, 14), np.uint8)}, r"train_labels is one whole number per image.*got \(4, 14\)"),
        ({"train_labels": np.zeros(3, np.uint8)}, r"has shape \(4, 6, 7\) and 3 labels"),
        ({"train_labels": np.zeros(4)}, r"one whole number per image.*float64"),
    ],
)
def test_other_arrays(tmp_path, changes, message):
    path, _ = arrays(tmp_path / "a.npz", lambda x: x, **changes)
    with pytest.raises(CrossDError, match=message):
        open_source(path)


def test_other_files(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK no")
    with pytest.raises(CrossDError, match=r"A \.npz file is a zip archive of arrays, .* is not .*\. Download it again"):
        open_source(tmp_path / "a.npz")
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(CrossDError, match=r"Images come from a folder of class folders, a \.zip of one.*a\.tar"):
        open_source(tmp_path / "a.tar")
    with pytest.raises(CrossDError, match=r"a folder or file that exists, got .*nowhere\. Check --images"):
        open_source(tmp_path / "nowhere")


def listed(path, rows, columns=("filename", "label")):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture
def radimagenet(tmp_path):
    """The layout of RadImageNet's release: lists inside radiology_ai, names that start above it."""
    root = tmp_path / "radiology_ai"
    names = [
        f"radiology_ai/{name}.png" for name in ("CT/abd/normal/1", "MR/knee/acl/2", "CT/abd/normal/3", "MR/knee/acl/4")
    ]
    make(tmp_path, names)
    rows = list(zip(names, ["abd-normal", "acl", "abd-normal", "acl"], strict=True))
    listed(root / "RadiologyAI_train.csv", rows[:2])
    listed(root / "RadiologyAI_val.csv", rows[2:])
    listed(root / "RadiologyAI_test.csv", [("radiology_ai/US/none.png", "never read")])
    return root


def test_radimagenets_lists(radimagenet):
    source = open_source(radimagenet / "RadiologyAI_train.csv")
    assert source.class_names == ["abd-normal", "acl"]
    assert [record.split for record in source.records] == ["train", "train", "val", "val"]
    assert [int(source.read(record.name)[0, 0, 0]) for record in source.records] == [1, 2, 3, 4]


def test_a_list_and_its_root(radimagenet, tmp_path):
    path = listed(tmp_path / "elsewhere" / "list.csv", [("CT/abd/normal/1.png", "a"), ("MR/knee/acl/2.png", "b")])
    with pytest.raises(CrossDError, match=r"The images of a list lie below its folder, got CT/abd.*--image_root"):
        open_source(path)
    source = open_source(path, str(radimagenet))
    assert [record.split for record in source.records] == [None, None]
    assert int(source.read("MR/knee/acl/2.png")[0, 0, 0]) == 2


def test_a_train_list_without_a_val_list_is_split(radimagenet):
    (radimagenet / "RadiologyAI_val.csv").unlink()
    assert {record.split for record in open_source(radimagenet / "RadiologyAI_train.csv").records} == {None}


COLUMNS = ("filename", "label", "split", "patient")


def test_a_list_without_validation_rows_is_split(tmp_path):
    make(tmp_path, ["a.png", "b.png", "c.png"])
    rows = [("a.png", "x", "Train", "p"), ("b.png", "y", "training", "p"), ("c.png", "y", "Test", "q")]
    source = open_source(listed(tmp_path / "list.csv", rows, COLUMNS))
    assert [(record.name, record.split) for record in source.records] == [("a.png", None), ("b.png", None)]
    assert [(record.name, record.patient) for record in source.test_records] == [("c.png", "q")]
    assert source.notes == ["there is no val, it is split off from train", "the 1 images of test are left alone"]


@pytest.mark.parametrize("of_val", [True, False])
def test_patients_in_train_and_test_lists(tmp_path, of_val):
    make(tmp_path, ["a.png", "b.png", "c.png"])
    columns = ("filename", "label", "patient")
    path = listed(tmp_path / "my_train.csv", [("a.png", "x", "p1"), ("b.png", "y", "p2")], columns)
    if of_val:
        listed(tmp_path / "my_val.csv", [("b.png", "y", "p3")], columns)
    listed(tmp_path / "my_test.csv", [("c.png", "x", "p4")], columns)
    assert len(open_source(path).test_records) == 1
    listed(tmp_path / "my_test.csv", [("c.png", "x", "p3" if of_val else "p1")], columns)
    with pytest.raises(CrossDError, match="p3 in test and val" if of_val else "p1 in test and train"):
        open_source(path)


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("a.png", "x")], ("path", "label"), r"has the columns filename, label: .* lacks filename"),
        ([("a.png", "")], ("filename", "label"), r"line 2 of .* without"),
        ([], ("filename", "label"), r"has a row for each of them, got none"),
        ([("a.png", "x", "dev", "p")], COLUMNS, r"is train, val or test, got 'dev' in line 2"),
        ([("a.png", "x", "train", "p"), ("b.png", "x", "", "p")], COLUMNS, r"Either every image of a list has a split"),
        (
            [("a.png", "x", "train", "p1"), ("b.png", "y", "val", "p1"), ("a.png", "y", "train", "p2")],
            COLUMNS,
            r"A patient must be in one split only, got 1 in several: p1 in train and val",
        ),
        (
            [("a.png", "x", "train", "p1"), ("b.png", "y", "train", "p2"), ("a.png", "y", "test", "p1")],
            COLUMNS,
            r"A patient must be in one split only, got 1 in several: p1 in test and train\. Keep the images",
        ),
        (
            [("a.png", "x", "train", "p1"), ("b.png", "x", "val", "p2"), ("a.png", "y", "test", "p2")],
            COLUMNS,
            r"in one split only, got 1 in several: p2 in test and val",
        ),
        (
            [("a.png", "x", "", "p1"), ("b.png", "x", "", "p2"), ("a.png", "y", "test", "p2")],
            COLUMNS,
            r"in one split only, got 1 in several: p2 in test and train",
        ),
        ([("a.png", "x", "val", "p"), ("b.png", "x", "test", "q")], COLUMNS, r"needs rows of train, got val and"),
        ([("a.png", "x", "train", "p"), ("b.png", "y", "val", "q")], COLUMNS, r"train lacks y"),
    ],
)
def test_lists_that_are_refused(tmp_path, rows, columns, message):
    make(tmp_path, ["a.png", "b.png"])
    with pytest.raises(CrossDError, match=message):
        open_source(listed(tmp_path / "list.csv", rows, columns))
