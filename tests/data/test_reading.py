"""Laws: channels share one grid whatever grids their files have; items pickle, cache and collate."""

from __future__ import annotations

import pickle
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from crossd.data import LoadImageVolumed, find_series, read_volume, write_dicom_series
from crossd.errors import CrossDError
from monai.data import DataLoader, Dataset, MetaTensor, PersistentDataset


def save(path, volume, voxel_to_world):
    nib.save(nib.Nifti1Image(volume, voxel_to_world), path)
    return str(path)


def places(shape, voxel_to_world):
    """World position of every voxel, `(*shape, 3)`."""
    return (np.moveaxis(np.indices(shape), 0, -1) @ voxel_to_world[:3, :3].T) + voxel_to_world[:3, 3]


def test_what_an_image_says_of_itself(tmp_path, volume, axial):
    path = save(tmp_path / "a.nii.gz", volume, axial)
    image = read_volume(path)
    assert isinstance(image, MetaTensor)
    assert image.dtype == torch.float32
    np.testing.assert_array_equal(image[0], volume)
    np.testing.assert_array_equal(image.affine, axial)
    assert image.meta["filename_or_obj"] == path
    assert image.meta["original_channel_dim"] == 0
    assert image.meta["has_affine"] is True
    assert image.meta["warnings"] == ""
    assert image.applied_operations == []


@pytest.mark.parametrize("kind", ["file", "folder", "series"])
def test_dicom_sources(tmp_path, volume, axial, kind):
    files = write_dicom_series(tmp_path / "s", volume, axial)
    sources = {"file": files[0], "folder": tmp_path / "s", "series": find_series(files)[0][0]}
    image = read_volume(sources[kind])
    expected = volume[..., :1] if kind == "file" else volume
    np.testing.assert_array_equal(image[0], expected)
    np.testing.assert_allclose(image.affine, axial, atol=1e-5)
    assert image.meta["filename_or_obj"] == str(files[0] if kind == "file" else tmp_path / "s")
    assert image.meta["warnings"] == ("The series has one slice only." if kind == "file" else "")


def test_channels_are_resampled_onto_the_first(tmp_path, voxel_to_world):
    """A linear function of the place is reproduced exactly by linear interpolation, on any two grids."""
    first_shape = (12, 11, 10)
    middle = (places(first_shape, voxel_to_world)).reshape(-1, 3).mean(axis=0)
    second = np.diag([-2.5, 2.5, 2.5, 1.0])
    second[:3, 3] = middle - second[:3, :3] @ [14.5, 14.5, 14.5]
    values = places((30, 30, 30), second) @ [1.0, -2.0, 0.5] + 7
    one = save(tmp_path / "t1.nii.gz", np.ones(first_shape, dtype=np.float32), voxel_to_world)
    two = save(tmp_path / "t2.nii.gz", values.astype(np.float32), second)
    image = read_volume([one, two])
    assert image.shape == (2, *first_shape)
    np.testing.assert_array_equal(image[0], 1)
    np.testing.assert_allclose(image[1], places(first_shape, voxel_to_world) @ [1.0, -2.0, 0.5] + 7, atol=1e-2)
    np.testing.assert_allclose(image.affine, voxel_to_world, atol=1e-5)
    assert image.applied_operations == []


def test_channels_are_zero_outside_of_their_file(tmp_path, axial):
    one = save(tmp_path / "a.nii.gz", np.ones((8, 8, 8), dtype=np.float32), axial)
    two = save(tmp_path / "b.nii.gz", np.ones((8, 8, 3), dtype=np.float32), axial)
    image = read_volume([one, two])
    np.testing.assert_allclose(image[1, :, :, :3], 1, atol=1e-6)
    np.testing.assert_array_equal(image[1, :, :, 4:], 0)


def test_channels_of_one_grid_are_not_interpolated(tmp_path, volume, axial):
    write_dicom_series(tmp_path / "dicom", volume, axial)
    one = save(tmp_path / "a.nii.gz", volume, axial)
    image = read_volume([one, str(tmp_path / "dicom"), one])
    for channel in image:
        np.testing.assert_array_equal(channel, volume)


def test_channels_without_overlap(tmp_path, axial):
    far = axial.copy()
    far[0, 3] += 500
    one = save(tmp_path / "a.nii.gz", np.ones((8, 8, 8), dtype=np.float32), axial)
    two = save(tmp_path / "b.nii.gz", np.ones((8, 8, 8), dtype=np.float32), far)
    message = (
        r"must overlap in space: '.*a.nii.gz' spans 1…13 × -49…-33 × 54…78 and '.*b.nii.gz' 501…513 × -49…-33 × 54…78 "
        r"\(mm, right-anterior-superior\). Check that they are of one patient"
    )
    with pytest.raises(CrossDError, match=message):
        read_volume([one, two])


def test_boxes_that_pass_each_other_do_not_overlap(tmp_path):
    """Two diagonal rods: their bounding boxes meet, they do not."""
    c = np.sqrt(0.5)
    rod = np.array([[c, -c, 0, 0], [c, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    beside = rod.copy()
    beside[:3, 3] = [10, -10, 0]
    one = save(tmp_path / "a.nii.gz", np.ones((40, 3, 3), dtype=np.float32), rod)
    two = save(tmp_path / "b.nii.gz", np.ones((40, 3, 3), dtype=np.float32), beside)
    with pytest.raises(CrossDError, match="must overlap in space"):
        read_volume([one, two])


def test_channels_without_affines(tmp_path, volume, axial):
    one, two = save(tmp_path / "a.nii.gz", volume, None), save(tmp_path / "b.nii.gz", volume + 1, axial)
    image = read_volume([one, two])
    np.testing.assert_array_equal(image[1] - image[0], np.ones(volume.shape))
    assert image.meta["has_affine"] is False
    assert image.meta["warnings"].startswith("channel 1: The file states no orientation")
    two = save(tmp_path / "b.nii.gz", volume[:5], axial)
    message = r"must have one shape: '.*a.nii.gz' has \(9, 8, 7\) and '.*b.nii.gz' \(5, 8, 7\). Write the files with"
    with pytest.raises(CrossDError, match=message):
        read_volume([one, two])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_must_be_finite(tmp_path, axial, value):
    volume = np.zeros((4, 4, 4), dtype=np.float32)
    volume[1, 2, 3] = volume[3, 3, 3] = value
    path = save(tmp_path / "a.nii.gz", volume, axial)
    message = r"'.*a.nii.gz' has 2 that are NaN or infinite, the first at \(1, 2, 3\). Replace them"
    with pytest.raises(CrossDError, match=message):
        read_volume(path)


def test_affines_must_be_invertible(tmp_path, volume, axial):
    nib.save(nib.Nifti1Image(volume, axial), tmp_path / "a.nii")
    header = bytearray((tmp_path / "a.nii").read_bytes())
    header[312:328] = header[296:312]  # srow_z = srow_y
    (tmp_path / "a.nii").write_bytes(header)
    with pytest.raises(CrossDError, match=r"affine must map voxels to space one to one: that of '.*a.nii' is \[\["):
        read_volume(tmp_path / "a.nii")


def test_folders_must_hold_one_series(tmp_path, volume, axial):
    write_dicom_series(tmp_path / "s" / "a", volume, axial, description="T1")
    write_dicom_series(tmp_path / "s" / "b", volume, axial, description="T2")
    with pytest.raises(CrossDError, match=r"holds 2 \(series 1, T1, MR, 7 slices; series 1, T2, .*into its own folder"):
        read_volume(tmp_path / "s")
    shutil.rmtree(tmp_path / "s" / "b")
    assert read_volume(tmp_path / "s").shape == (1, 9, 8, 7)
    (tmp_path / "s" / "bad.dcm").write_bytes(b"nothing")
    assert "Left out: A file named as DICOM must be DICOM" in read_volume(tmp_path / "s").meta["warnings"]


def test_sources_that_are_none(tmp_path):
    with pytest.raises(CrossDError, match=r"must exist: '.*absent' does not. Check the path."):
        read_volume(tmp_path / "absent")
    with pytest.raises(CrossDError, match=r"must hold a DICOM series: '.*' holds none"):
        read_volume(tmp_path)
    (tmp_path / "note.txt").write_text("no image")
    with pytest.raises(CrossDError, match=r"must be DICOM or end in one of \.nii"):
        read_volume(tmp_path / "note.txt")
    (tmp_path / "a.dcm").write_bytes(b"no image")
    with pytest.raises(CrossDError, match=r"'.*a.dcm' .* has no SOPClassUID"):
        read_volume(tmp_path / "a.dcm")
    with pytest.raises(CrossDError, match="at least one channel, got an empty list"):
        read_volume([])


def test_the_transform_reads_strings_lists_and_series(tmp_path, volume, axial):
    path = save(tmp_path / "a.nii.gz", volume, axial)
    (series,), _ = find_series(write_dicom_series(tmp_path / "s", volume, axial))
    load = LoadImageVolumed("image")
    for source, channels in ((path, 1), ([path], 1), ([series], 1), ([path, series], 2)):
        item = {"image": source, "case": "a", "label": 1}
        out = load(pickle.loads(pickle.dumps(item)))
        assert out["image"].shape == (channels, 9, 8, 7)
        assert (out["case"], out["label"], item["image"]) == ("a", 1, source)
    with pytest.raises(KeyError):
        load({"case": "a"})
    assert LoadImageVolumed("image", allow_missing_keys=True)({"case": "a"}) == {"case": "a"}
    assert "LoadImage" in type(load).__name__


@pytest.mark.filterwarnings("error:Corrupt cache file")
def test_items_cache_and_collate(tmp_path, volume, axial):
    """Batches of images with and without warnings: lists of different lengths would not collate."""
    (series,), _ = find_series(write_dicom_series(tmp_path / "s", volume, axial))
    gap, _ = find_series(series.files[:3] + series.files[4:])
    items = [
        {"image": [series], "label": 0},
        {"image": save(tmp_path / "a.nii.gz", volume, None), "label": 1},
        {"image": [gap[0]], "label": 1},
    ]
    for dataset in (
        Dataset(items, LoadImageVolumed("image")),
        PersistentDataset(items, LoadImageVolumed("image"), cache_dir=tmp_path / "cache", track_meta=True),
        PersistentDataset(items, LoadImageVolumed("image"), cache_dir=tmp_path / "cache", track_meta=True),
    ):
        (batch,) = DataLoader(Dataset([dataset[0], dataset[1]]), batch_size=2, num_workers=0)
        assert batch["image"].shape == (2, 1, 9, 8, 7)
        assert batch["image"].meta["warnings"][0] == ""
        assert "no orientation" in batch["image"].meta["warnings"][1]
        assert "probably 1 missing" in dataset[2]["image"].meta["warnings"]
