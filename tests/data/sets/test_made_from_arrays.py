"""Sets of arrays or frames: lung adenocarcinoma, BUSV and Enhanced-MedMNIST become volumes, voxel for voxel."""

from __future__ import annotations

from collections import Counter

import nibabel
import numpy as np
import pytest
from crossd.data.reading import read_volume
from crossd.data.sets import prepare_datalist
from crossd.data.sets.busv import FACTS
from crossd.errors import CrossDError
from PIL import Image


def stored(path):
    """`(depth, height, width)` of a NIfTI file."""
    return np.asarray(nibabel.load(path).dataobj).T


def test_lung_adenocarcinoma(release, tmp_path, rows, caplog):
    root = release("lung-adenocarcinoma")
    listed = rows(prepare_datalist("lung-adenocarcinoma", root, tmp_path / "out"))
    assert Counter(row["label"] for row in listed) == {"AAH": 4, "AIS": 6, "MIA": 8}
    row = next(row for row in listed if row["image"].endswith("AIS-003.nii.gz"))
    np.testing.assert_array_equal(stored(tmp_path / "out" / row["image"]), np.load(root / "AIS" / "003.npy"))
    assert "18 cases here, 1050 in the official release." in caplog.text
    assert "size (1, 9, 9, 9) here, (1, 128, 128, 128) in Table V" in caplog.text
    assert "values" not in caplog.text  # -1450 to 3879 here, as in the paper


@pytest.mark.parametrize("name", ["x/AIS_12.npy", "mia (585)/12.npy", "volumes/12-AAH.npy"])
def test_the_class_is_a_word_of_the_path(name, tmp_path, rows):
    for path in (name, "other/aah-1.npy", "AIS-1.npy", "AIS-2.npy", "mia1/a.npy", "mia1/b.npy"):
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "root" / path, np.zeros((3, 3, 3), np.int16))
    listed = rows(prepare_datalist("lung-adenocarcinoma", tmp_path / "root", tmp_path / "out"))
    assert sum(row["label"] == next(c for c in ("AAH", "AIS", "MIA") if c in name.upper()) for row in listed) >= 2


@pytest.mark.parametrize(
    ("path", "array", "message"),
    [
        ("maize/1.npy", np.zeros((3, 3, 3)), "names one class of AAH, AIS, MIA, got none in 'maize/1'"),
        ("AIS/MIA1.npy", np.zeros((3, 3, 3)), r"got \['AIS', 'MIA'\] in 'AIS/MIA1'"),
        ("AIS/1.npy", np.zeros((3, 3)), r"has three axes, .* has shape \(3, 3\)"),
        ("AIS/1.npy", np.array([{}], dtype=object), "is a NumPy array of numbers, .* is not"),
        ("AIS/1.npy", np.full((3, 3, 3), np.nan), "Voxels are finite numbers, got nan to nan in AIS-1"),
        ("AIS/1.npy", np.full((3, 3, 3), 2**40), "stored with 32 bits, got 1.09951e\\+12 to 1.09951e\\+12 in AIS-1"),
    ],
)
def test_lung_files_that_are_refused(path, array, message, tmp_path):
    (tmp_path / path).parent.mkdir()
    np.save(tmp_path / path, array)
    with pytest.raises(CrossDError, match=message):
        prepare_datalist("lung-adenocarcinoma", tmp_path, tmp_path / "out")


def test_nothing_there(tmp_path):
    with pytest.raises(CrossDError, match=r"needs \.npy files whose paths .*10\.17632/r3tbsgtpzg\.2"):
        prepare_datalist("lung-adenocarcinoma", tmp_path, tmp_path)
    with pytest.raises(CrossDError, match="needs the folders rawframes/benign and rawframes/malignant"):
        prepare_datalist("busv", tmp_path, tmp_path)
    with pytest.raises(CrossDError, match=r"needs one file, named by --subset \(got None; there: no \.npz file\)"):
        prepare_datalist("enhanced-medmnist", tmp_path, tmp_path)


def test_busv(release, tmp_path, rows, caplog):
    root = release("busv")
    listed = {row["patient"]: row for row in rows(prepare_datalist("busv", root, tmp_path / "out", size=12))}
    top = root / "Miccai 2022 BUV Dataset"
    assert "benign/x66ef02e7f1b9a0ef" not in listed  # in neither JSON file, and a copy
    assert "benign/x1282311c38f808f" not in listed
    assert "benign/x1282311c38f808f is left out: it is a copy of another video." in caplog.text
    assert {name for name, row in listed.items() if row["split"] == "test"} == {
        "benign/c0", "benign/c1", "malignant/x9c1c965d274c457", "malignant/d0",
    }  # fmt: skip
    assert {row["split"] for row in listed.values()} == {"train", "val", "test"}
    assert all(name.startswith(row["label"]) for name, row in listed.items())
    volume = stored(tmp_path / "out" / listed["malignant/b3"]["image"])
    assert (volume.shape, volume.dtype) == ((12, 12, 12), np.uint8)
    with Image.open(top / "rawframes" / "malignant" / "b3" / "000000.png") as first:
        expected = np.asarray(first.convert("L").resize((12, 12), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(volume[0].astype(int), expected, atol=1)
    with Image.open(top / "rawframes" / "malignant" / "b3" / "000004.png") as last:
        expected = np.asarray(last.convert("L").resize((12, 12), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(volume[-1].astype(int), expected, atol=1)


def test_busv_as_it_is_on_disk(release, tmp_path, rows, caplog):
    root = release("busv")
    for name in ("imagenet_vid_train_15frames.json", "imagenet_vid_val.json"):
        (root / "Miccai 2022 BUV Dataset" / name).unlink()
    listed = rows(prepare_datalist("busv", root, tmp_path / "out", size=8, keep_excluded=True))
    assert len(listed) == 18
    assert "No JSON file with the official split is here" in caplog.text


def test_one_patient_of_busv_is_not_in_two_splits(release, tmp_path, rows, caplog):
    root = release("busv") / "Miccai 2022 BUV Dataset"
    (root / "rawframes" / "benign" / "a0").rename(root / "rawframes" / "benign" / "x63c9ba1377f35bf6")
    (root / "rawframes" / "malignant" / "d0").rename(root / "rawframes" / "malignant" / "2390fbea047347b")
    for path in root.glob("*.json"):
        text = path.read_text().replace("benign/a0/", "benign/x63c9ba1377f35bf6/")
        path.write_text(text.replace("malignant/d0/", "malignant/2390fbea047347b/"))
    listed = rows(prepare_datalist("busv", root, tmp_path / "out", size=8))
    assert "x63c9ba1377f35bf6 is left out of training: its patient is tested." in caplog.text
    assert [row["split"] for row in listed if row["patient"] == "four videos"] == ["test"]
    kept = rows(prepare_datalist("busv", root, tmp_path / "fold", size=8, folds=3, fold=0, keep_excluded=True))
    assert next(row["label"] for row in kept if "x63c9" in row["patient"]) == "benign"  # as the folder says


def test_a_damaged_busv(release, tmp_path):
    root = release("busv") / "Miccai 2022 BUV Dataset"
    (root / "imagenet_vid_val.json").write_text('{"videos": []}')
    with pytest.raises(CrossDError, match=r"has `images` with a `file_name` each, .*imagenet_vid_val\.json has not"):
        prepare_datalist("busv", root, tmp_path / "out")
    (root / "imagenet_vid_val.json").unlink()
    for frame in (root / "rawframes" / "benign" / "a0").iterdir():
        frame.unlink()
    with pytest.raises(CrossDError, match=r"A video is a folder of \.png frames, .*a0 has none"):
        prepare_datalist("busv", root, tmp_path / "out")


LAYOUTS = {  # stored axes → where channel, depth, height, width are
    "NDHW": (None, 0, 1, 2),
    "NCDHW": (0, 1, 2, 3),
    "NDHWC": (3, 0, 1, 2),
    "N2DHW": (0, 1, 2, 3),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_enhanced_medmnist(layout, dtype, made, tmp_path, rows):
    made.enhanced(layout, dtype=dtype, size=(7, 6, 5))(tmp_path)
    listed = rows(prepare_datalist("enhanced-medmnist", tmp_path, tmp_path / "out", subset="brats21_96"))
    images, (channel, *axes) = np.load(tmp_path / "brats21_96.npz")["images"], LAYOUTS[layout]
    columns = ["image"] if channel is None else [f"image_{i + 1}" for i in range(2 if layout == "N2DHW" else 3)]
    assert [column for column in listed[0] if column.startswith("image")] == columns
    for index in (0, 13):
        row = images[index]
        expected = row.transpose(axes)[None] if channel is None else row.transpose(channel, *axes)
        for column, one in zip(columns, expected, strict=True):
            volume = stored(tmp_path / "out" / listed[index][column])
            np.testing.assert_array_equal(volume, one)
            assert volume.dtype == (np.uint8 if dtype is np.uint8 else np.float32)
    assert {row["label"] for row in listed} == {"0", "1"}
    assert {row["split"] for row in listed} == {"train", "val", "test"}


def test_mosmed_has_its_depth_last(made, tmp_path, rows, caplog):
    made.enhanced("NDHW", "mosmed_128", size=(6, 6, 4))(tmp_path)
    images = np.load(tmp_path / "mosmed_128.npz")["images"]
    listed = rows(prepare_datalist("enhanced-medmnist", tmp_path, tmp_path / "out"))  # the only file there
    np.testing.assert_array_equal(stored(tmp_path / "out" / listed[2]["image"]), images[2].transpose(2, 0, 1))
    assert "14 cases here, 200 in Table V of the paper." in caplog.text
    assert "size (1, 6, 6, 4) here, (1, 128, 128, 64) in Table V of the paper." in caplog.text
    assert "values 0 to 255 here, 0 to 1 in Table V of the paper." in caplog.text
    listed = rows(prepare_datalist("enhanced-medmnist", tmp_path, tmp_path / "other", axes="WHD"))
    np.testing.assert_array_equal(stored(tmp_path / "other" / listed[2]["image"]), images[2].transpose(2, 1, 0))
    assert read_volume(tmp_path / "other" / listed[2]["image"]).shape == (1, 6, 6, 4)


@pytest.mark.parametrize("layout", ["NHW", "NHWC", "NCHW"])
def test_images_of_enhanced_medmnist(layout, made, tmp_path, rows):
    made.enhanced(layout, "braintumormrimnist_224", size=(1, 9, 8))(tmp_path)
    listed = rows(prepare_datalist("enhanced-medmnist", tmp_path, tmp_path / "out"))
    images = np.load(tmp_path / "braintumormrimnist_224.npz")["images"]
    pixels = np.asarray(Image.open(tmp_path / "out" / listed[3]["filename"]))
    np.testing.assert_array_equal(pixels, images[3].transpose(1, 2, 0) if layout == "NCHW" else images[3])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train_images": np.zeros(3)}, "lacks images, labels and has train_images. For a file with train_images"),
        ({"images": np.zeros((3, 9, 9, 9)), "labels": np.zeros(2)}, "Every image has a label, .* has 3 and 2"),
        ({"images": np.zeros((3, 9, 9, 9, 9)), "labels": np.zeros(3)}, r"has shape \(3, 9, 9, 9, 9\)\. Save it again"),
        ({"images": np.full((3, 9, 9), 256), "labels": np.zeros(3)}, "Images hold 0 to 255, got 256 to 256 in 00000"),
    ],
)
def test_enhanced_medmnist_refused(arrays, message, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(CrossDError, match=message):
        prepare_datalist("enhanced-medmnist", tmp_path, tmp_path / "out")


def test_long_videos_are_averaged_not_skipped_through(tmp_path, rows):
    """Frames that alternate between black and white become grey when three of them share one."""
    for label in FACTS.class_names:
        for video in range(4):
            folder = tmp_path / "rawframes" / label / f"v{video}"
            folder.mkdir(parents=True)
            for frame in range(36):
                Image.new("L", (12, 12), 255 * (frame % 2)).save(folder / f"{frame:06d}.png")
    listed = rows(prepare_datalist("busv", tmp_path, tmp_path / "out", size=12))
    volume = stored(tmp_path / "out" / listed[0]["image"])
    assert 85 <= volume[1:-1].min() <= volume[1:-1].max() <= 170


def test_lung_volumes_whose_names_are_alike_are_all_kept(tmp_path, rows):
    for index, name in enumerate(("AIS/a b", "AIS/a_b", "AIS/a-b", "AIS-a-b", "MIA/1", "MIA/2", "AAH/1", "AAH/2")):
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "root" / f"{name}.npy", np.full((3, 3, 3), index, np.int16))
    listed = rows(prepare_datalist("lung-adenocarcinoma", tmp_path / "root", tmp_path / "out"))
    assert sorted(int(stored(tmp_path / "out" / row["image"]).max()) for row in listed) == list(range(8))


@pytest.mark.parametrize(("labels", "names"), [(["no", "yes"], {"no", "yes"}), ([False, True], {"False", "True"})])
def test_labels_of_enhanced_medmnist_that_are_no_numbers(labels, names, tmp_path, rows):
    np.savez(tmp_path / "a.npz", images=np.zeros((8, 4, 4, 4), np.uint8), labels=np.array(labels * 4))
    assert {row["label"] for row in rows(prepare_datalist("enhanced-medmnist", tmp_path, tmp_path / "out"))} == names
