"""What is found to train on: images and volumes of every kind of source, and never what is held out."""

from __future__ import annotations

import zipfile

import nibabel
import numpy as np
import pytest
import torch
from crossd import CrossDError
from crossd.ssl import image_preprocessing, unlabelled_images, unlabelled_volumes, volume_preprocessing
from PIL import Image

INPUT = {"channels": ["image"], "plane": "axial", "spacing": None, "intensity": {"mode": "range"}}


def save(path, value=100, size=(6, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)


def names(found):
    return [item["case"] for item in found["items"]]


def test_images_of_a_folder_lie_anywhere(tmp_path):
    for name in ("1.png", "ct/2.png", "ct/deep/3.jpg"):
        save(tmp_path / "set" / name)
    (tmp_path / "set" / "readme.txt").write_text("none")
    assert names(unlabelled_images(tmp_path / "set")) == ["set/1.png", "set/ct/2.png", "set/ct/deep/3.jpg"]


@pytest.mark.parametrize("zipped", [False, True])
def test_beside_train_nothing_is_taken(tmp_path, zipped):
    for name in ("train/ct/1.png", "val/ct/2.png", "test/ct/3.png", "4.png"):
        save(tmp_path / "set" / name)
    source = tmp_path / "set"
    if zipped:
        source = tmp_path / "set.zip"
        with zipfile.ZipFile(source, "w") as file:
            for path in (tmp_path / "set").rglob("*.png"):
                file.write(path, path.relative_to(tmp_path).as_posix())
    found = unlabelled_images([source])
    assert len(found["items"]) == 1
    assert names(found)[0].endswith("train/ct/1.png")
    assert found["store"].read(*found["items"][0]["image"]).shape == (1, 6, 5)


def test_arrays_and_lists_of_images(tmp_path):
    np.savez(tmp_path / "a.npz", train_images=np.zeros((3, 4, 4), np.uint8), test_images=np.zeros((9, 4, 4), np.uint8))
    np.savez(tmp_path / "b.npz", images=np.zeros((2, 4, 4, 3), np.uint8))
    for name in ("1", "2", "3"):
        save(tmp_path / f"{name}.png")
    (tmp_path / "l.csv").write_text("filename,label,split\n1.png,a,train\n2.png,a,val\n3.png,a,test\n")
    found = unlabelled_images([tmp_path / "a.npz", tmp_path / "b.npz", tmp_path / "l.csv"], channels=3)
    assert names(found) == ["a.npz/0", "a.npz/1", "a.npz/2", "b.npz/0", "b.npz/1", "l.csv/1.png"]
    assert unlabelled_images("none") is None


def test_a_limit_and_what_cannot_be_read(tmp_path):
    for number in range(6):
        save(tmp_path / f"{number}.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    found = unlabelled_images(tmp_path)
    assert len(found["items"]) == 6
    assert [(name, "UnidentifiedImageError" in reason) for _, name, reason in found["skipped"]] == [("bad.png", True)]
    assert len(unlabelled_images(tmp_path, limit=3, seed=1)["items"]) <= 3


def test_images_are_scaled_and_resized_by_their_shorter_side(tmp_path):
    save(tmp_path / "1.png", 255, (10, 20))
    found = unlabelled_images(tmp_path)
    item = image_preprocessing(found["store"], 16)(found["items"][0])
    assert item["image"].shape == (1, 16, 32)
    assert float(item["image"].min()) == float(item["image"].max()) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, r"got none. Pass --images .* or --images none to train on volumes only"),
        (lambda path: path, "got an empty side: none in .*Pass the folder that holds them"),
        (lambda path: path / "absent.zip", "a .csv list that exists, got .*absent.zip. Check --images"),
    ],
)
def test_no_images(tmp_path, make, message):
    with pytest.raises(CrossDError, match=message):
        unlabelled_images(make(tmp_path))


def test_volumes_in_an_array_of_images(tmp_path):
    np.savez(tmp_path / "3d.npz", images=np.zeros((2, 4, 4, 4, 4), np.uint8))
    with pytest.raises(CrossDError, match=r"got \(2, 4, 4, 4, 4\) in .*Volumes are given by --volumes"):
        unlabelled_images(tmp_path / "3d.npz")


def scan(path, size=(6, 7, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.arange(np.prod(size), dtype=np.float32).reshape(size)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-1.0, -1, 1, 1])), path)


def test_of_a_segmentation_set_the_scans(tmp_path):
    for folder in ("images", "labels"):
        for name in ("h1", "h2"):
            scan(tmp_path / "Task04" / folder / f"{name}.nii.gz")
    found = unlabelled_volumes(tmp_path / "Task04")
    assert [case["case"] for case in found] == ["Task04/h1", "Task04/h2"]
    assert all("images" in case["source"] for case in found)


def test_of_a_list_with_splits_the_training_rows(tmp_path):
    for name in "abc":
        scan(tmp_path / f"{name}.nii.gz")
    (tmp_path / "list.csv").write_text(
        "case,image,label,split\nx,a.nii.gz,1,train\ny,b.nii.gz,1,val\nz,c.nii.gz,0,test\n"
    )
    assert [case["case"] for case in unlabelled_volumes(tmp_path / "list.csv")] == ["list.csv/x"]
    (tmp_path / "all.csv").write_text("image\na.nii.gz\nb.nii.gz\n")
    assert len(unlabelled_volumes([tmp_path / "all.csv", tmp_path / "list.csv"])) == 3
    (tmp_path / "held.csv").write_text("image;split\na.nii.gz;test\n")
    with pytest.raises(CrossDError, match=r"got an empty side: none in .*held\.csv is for training. Check the column"):
        unlabelled_volumes(tmp_path / "held.csv")


def test_a_column_of_splits_however_it_is_written(tmp_path):
    for name in "ab":
        scan(tmp_path / f"{name}.nii.gz")
        save(tmp_path / f"{name}.png")
    (tmp_path / "volumes.csv").write_text("image, Split\na.nii.gz,Train\nb.nii.gz,test\n")
    assert [case["case"] for case in unlabelled_volumes(tmp_path / "volumes.csv")] == ["volumes.csv/a"]
    (tmp_path / "images.csv").write_text("filename,label,Split\na.png,x,train\nb.png,x,test\n")
    assert names(unlabelled_images(tmp_path / "images.csv")) == ["images.csv/a.png"]


def test_cases_of_folders_of_one_name_are_told_apart(tmp_path):
    for folder in ("one", "two"):
        scan(tmp_path / folder / "images" / "1.nii.gz")
    found = unlabelled_volumes([tmp_path / "one" / "images", tmp_path / "two" / "images"])
    assert [case["case"] for case in found] == ["images/1", "images_2/1"]


def test_images_in_a_folder_that_is_a_link(tmp_path):
    save(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "ct").symlink_to(tmp_path / "elsewhere")
    assert names(unlabelled_images(tmp_path / "set")) == ["set/ct/1.png"]


def test_arrays_of_volumes_keep_their_axes(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (3, 5, 6, 7), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", train_images=array, val_images=array[:1])
    found = unlabelled_volumes(tmp_path / "set.npz")
    assert len(found) == 3
    read = volume_preprocessing(INPUT, [(5, 6, 7)])(found[2])["image"]
    low, high = array[2].min(), array[2].max()
    torch.testing.assert_close(torch.as_tensor(read)[0], torch.from_numpy((array[2] - low) / (high - low)).float())
    padded = volume_preprocessing(INPUT, [(8, 2, 2), (2, 9, 2)])(found[0])["image"]
    assert padded.shape == (1, 8, 9, 7)


def test_files_are_read_as_by_the_other_bundles(tmp_path):
    from crossd.data import preprocessing

    scan(tmp_path / "a.nii.gz")
    (case,) = unlabelled_volumes(tmp_path)
    ours = volume_preprocessing(INPUT, [(1, 1, 1)])(case)["image"]
    theirs = preprocessing({**INPUT, "mean": 0.0, "std": 1.0})(case)["image"]
    assert torch.equal(torch.as_tensor(ours), torch.as_tensor(theirs))
    assert ours.shape == (1, 8, 7, 6)


def test_several_channels(tmp_path):
    np.savez(tmp_path / "rgb.npz", images=np.random.default_rng(0).integers(0, 9, (2, 3, 4, 5, 6)))
    (first, _) = unlabelled_volumes(tmp_path / "rgb.npz", channels=3)
    read = volume_preprocessing({**INPUT, "channels": ["r", "g", "b"]}, [(1, 1, 1)])(first)["image"]
    assert read.shape == (3, 4, 5, 6)
    with pytest.raises(CrossDError, match=r"the same channels; got channels 1 and 3 in rgb.npz/0 .*Pass --channels 3"):
        unlabelled_volumes(tmp_path / "rgb.npz")


@pytest.mark.parametrize(("given", "message"), [(None, "Pass --volumes with a folder"), ([], "or --volumes none")])
def test_no_volumes(given, message):
    with pytest.raises(CrossDError, match=message):
        unlabelled_volumes(given)
    assert unlabelled_volumes("none") is None


def test_images_in_an_array_of_volumes(tmp_path):
    np.savez(tmp_path / "2d.npz", images=np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(CrossDError, match=r"got \(2, 4, 4\) in .*Images are given by --images"):
        unlabelled_volumes(tmp_path / "2d.npz")
