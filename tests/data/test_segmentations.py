"""Cases with masks from a CSV and from a Decathlon folder, and what is refused."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from crossd.data.segmentations import class_values, read_segmentations
from crossd.errors import CrossDError


@pytest.fixture
def folder(tmp_path):
    for kind in ("imagesTr", "labelsTr"):
        (tmp_path / kind).mkdir()
        for case in range(10):
            voxels = np.zeros((4, 4, 4), np.uint8)
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / kind / f"c{case}.nii.gz")
    return tmp_path


def decathlon(folder, **changes):
    listed = [{"image": f"./imagesTr/c{i}.nii.gz", "label": f"./labelsTr/c{i}.nii.gz"} for i in range(10)]
    content = {"labels": {"1": "front", "0": "background"}, "modality": {"0": "MRI"}, "training": listed, **changes}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def listed(folder, rows, header="image,mask"):
    path = folder / "cases.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


ROWS = [f"imagesTr/c{i}.nii.gz,labelsTr/c{i}.nii.gz" for i in range(10)]


def test_a_decathlon_folder(folder):
    found = read_segmentations(decathlon(folder))
    assert (found["class_names"], found["label_values"], found["channels"]) == (["background", "front"], [0, 1], 1)
    counts = [len(found[split]) for split in ("train", "val", "test")]
    assert (sum(counts), counts[0], min(counts) > 0) == (10, 7, True)
    case = found["train"][0]
    assert case["mask"] == case["image"][0].replace("imagesTr", "labelsTr")
    assert case["patient"] == case["case"]
    assert read_segmentations(folder)["test"] == found["test"]  # the same split each time


def test_a_decathlon_folder_of_several_channels_takes_the_volumes_of_4d_files(folder):
    found = read_segmentations(decathlon(folder, modality={"0": "T1", "1": "T2"}))
    assert found["channels"] == 2
    assert [source[-2:] for source in found["train"][0]["image"]] == ["@0", "@1"]


def test_a_csv_names_paths_patients_and_splits(folder):
    rows = [f"{row},p{i // 2},{'train' if i < 6 else 'val' if i < 8 else 'test'}" for i, row in enumerate(ROWS)]
    path = listed(folder, rows, "image,mask,patient,split")
    found = read_segmentations(None, path, classes={"0": "background", 3: "nodule"})
    assert [len(found[split]) for split in ("train", "val", "test")] == [6, 2, 2]
    assert found["label_values"] == [0, 3]
    assert found["val"][0]["patient"] == "p3"


def test_nothing_to_read_is_no_error():
    assert read_segmentations(None)["train"] == []


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["imagesTr/c0.nii.gz,labelsTr/none.nii.gz"], "image,mask", r"Every mask must exist, got in .*line 2: .*none"),
        (["imagesTr/none.nii.gz,labelsTr/c0.nii.gz"], "image,mask", r"Every image must exist"),
        (["imagesTr/c0.nii.gz,"], "image,mask", r"Every case needs a mask, got in .*line 2: no mask"),
        (["imagesTr/c0.nii.gz,imagesTr/c0.nii.gz"], "image,mask", r"A mask is another file than its image"),
        (ROWS[:2], "image,label", r"Cases with masks have the columns .*image and mask at least, got \['image',"),
        ([f"{row},1" for row in ROWS], "image,mask,patients", r"got 'patients' in .*, and no 'patient'"),
        (
            [f"{row},a,{'train' if i else 'test'}" for i, row in enumerate(ROWS)],
            "image,mask,patient,split",
            "one split",
        ),
        (
            [f"{row},{'p' if i else ''}" for i, row in enumerate(ROWS)],
            "image,mask,patient",
            "Every case needs a patient, got in .*line 2: nothing",
        ),
    ],
)
def test_lists_that_are_refused(folder, rows, header, message):
    with pytest.raises(CrossDError, match=message):
        read_segmentations(None, listed(folder, rows, header), classes=["background", "a"])


def test_classes_must_be_named_for_a_csv(folder):
    with pytest.raises(CrossDError, match=r"The classes of masks must be named, got none for .*cases.csv"):
        read_segmentations(None, listed(folder, ROWS))


@pytest.mark.parametrize("classes", [["one"], "ab", {1: "a", 2: "b"}, {0: "a", 1: "a"}, {"x": "a", 0: "b"}, 3])
def test_classes_that_are_refused(classes):
    with pytest.raises((CrossDError, TypeError), match=r"two or more distinct names|not iterable"):
        class_values(classes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labels": None}, r"has the entries labels .* has not: AttributeError"),
        ({"training": []}, "lists training cases, got none"),
        ({"training": [{"image": "a.nii"}]}, r"has not: KeyError\('label'\)"),
    ],
)
def test_a_dataset_json_that_is_none(folder, content, message):
    with pytest.raises(CrossDError, match=message):
        read_segmentations(decathlon(folder, **content))


def test_a_folder_without_a_list(folder):
    with pytest.raises(CrossDError, match=r"a folder with the dataset.json .*got .*Pass --labels"):
        read_segmentations(folder)
