"""Laws: the chain moves nothing in space, and does not care in which format or order a volume was stored."""

from __future__ import annotations

import pickle
import random

import nibabel as nib
import numpy as np
import pytest
import torch
from crossd.data import find_cases, preprocessing, write_dicom_series
from crossd.errors import CrossDError
from monai.data import DataLoader, Dataset, MetaTensor, PersistentDataset
from monai.transforms import Invertd

CARD = {"channels": ["image"], "plane": "axial", "spacing": None, "mean": 0.25, "std": 0.5}
CARD |= {"intensity": {"mode": "window", "lower": -200.0, "upper": 300.0}}


def save(path, volume, voxel_to_world):
    nib.save(nib.Nifti1Image(volume, voxel_to_world), path)
    return str(path)


def world(image):
    """World position of every voxel of `(channel, depth, height, width)`."""
    indices = np.moveaxis(np.indices(image.shape[1:]), 0, -1)
    return indices @ image.affine.numpy()[:3, :3].T + image.affine.numpy()[:3, 3]


def smooth(shape):
    """A volume without sharp edges, int16."""
    grid = np.indices(shape) / np.array(shape).reshape(3, 1, 1, 1)
    phases = np.array([3.0, 4.0, 5.0]).reshape(3, 1, 1, 1)
    return (300 * np.sin(phases * grid).prod(axis=0) + 100 * grid[0]).astype(np.int16)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal", "acquired"])
@pytest.mark.parametrize("spacing", [None, [2.0, 2.5, 1.75]])
def test_values_stay_at_their_place(tmp_path, voxel_to_world, plane, spacing):
    """A linear function of the place survives linear resampling, away from the border, in every orientation."""
    shape = (21, 20, 19)
    indices = np.moveaxis(np.indices(shape), 0, -1)
    places = indices @ voxel_to_world[:3, :3].T + voxel_to_world[:3, 3]
    direction, offset = np.array([0.9, -0.7, 0.4]), 60.0
    path = save(tmp_path / "a.nii.gz", (places @ direction + offset).astype(np.float32), voxel_to_world)
    image = preprocessing({**CARD, "plane": plane, "spacing": spacing})({"image": path})["image"]
    values = (image[0].numpy() * CARD["std"] + CARD["mean"]) * 500 - 200
    where = world(image)
    inside = np.linalg.inv(voxel_to_world)
    index = where @ inside[:3, :3].T + inside[:3, 3]
    interior = ((index >= 0) & (index <= np.array(shape) - 1)).all(axis=-1)
    assert interior.mean() > 0.5
    np.testing.assert_allclose(values[interior], (where @ direction + offset)[interior], atol=2e-3)
    if spacing:
        np.testing.assert_allclose(np.linalg.norm(image.affine.numpy()[:3, :3], axis=0), spacing, rtol=1e-5)


def test_a_tilted_stack_is_straightened_by_resampling(tmp_path, tilted):
    shape = (30, 40, 20)
    places = np.moveaxis(np.indices(shape), 0, -1) @ tilted[:3, :3].T + tilted[:3, 3]
    volume = np.rint(places @ [0.0, 4.0, 0.0]).astype(np.int16)  # depends on y alone, which the tilt displaces
    write_dicom_series(tmp_path, volume, tilted)
    card = {**CARD, "spacing": [3.0, 2.0, 1.5], "intensity": {"mode": "window", "lower": -1000, "upper": 1000}}
    image = preprocessing(card)(find_cases(tmp_path)[0])["image"]
    directions = image.affine.numpy()[:3, :3]
    np.testing.assert_allclose(directions.T @ directions, np.diag(np.diag(directions.T @ directions)), atol=1e-6)
    inverse = np.linalg.inv(tilted)
    index = world(image) @ inverse[:3, :3].T + inverse[:3, 3]
    interior = ((index >= 0) & (index <= np.array(shape) - 1)).all(axis=-1)
    assert interior.mean() > 0.3
    values = (image[0].numpy() * CARD["std"] + CARD["mean"]) * 2000 - 1000
    np.testing.assert_allclose(values[interior], 4 * world(image)[interior][:, 1], atol=0.6)


@pytest.mark.parametrize("intensity", ["window", "percentile", "range"])
@pytest.mark.parametrize("spacing", [None, [1.5, 1.5, 1.5]])
def test_dicom_and_nifti_agree(tmp_path, voxel_to_world, spacing, intensity):
    volume = smooth((14, 12, 10))
    numbers = random.Random(5).sample(range(50), 10)
    files = write_dicom_series(tmp_path / "dicom", volume, voxel_to_world, instance_numbers=numbers)
    for file, number in zip(files, numbers, strict=True):
        file.rename(file.with_name(f"IM{number}"))
    save(tmp_path / "volume.nii.gz", volume, voxel_to_world)
    limits = {"window": (-100.0, 250.0), "percentile": (1.0, 99.0), "range": (None, None)}[intensity]
    card = {
        **CARD,
        "spacing": spacing,
        "intensity": {"mode": intensity, "lower": limits[0], "upper": limits[1]},
    }
    dicom, nifti = (preprocessing(card)(item)["image"] for item in find_cases(tmp_path))
    assert dicom.shape == nifti.shape
    np.testing.assert_allclose(dicom, nifti, atol=1e-4)
    np.testing.assert_allclose(dicom.affine, nifti.affine, atol=1e-4)


def test_the_chain_by_hand(tmp_path):
    """SPL of a file whose axes run R, A, S: depth is k, height is j and width is i, the latter two backwards."""
    volume = np.arange(24, dtype=np.float32).reshape(2, 3, 4) * 10
    path = save(tmp_path / "a.nii.gz", volume, np.eye(4))
    card = {**CARD, "intensity": {"mode": "range"}, "mean": 0.5, "std": 2.0}
    image = preprocessing(card)({"image": path, "case": "a"})["image"]
    assert isinstance(image, MetaTensor)
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image[0], (volume[::-1, ::-1].transpose(2, 1, 0) / 230 - 0.5) / 2, atol=1e-6)
    assert image.meta["filename_or_obj"] == path


def test_channels_are_normalised_one_by_one(tmp_path, axial):
    volume = smooth((6, 5, 4))
    paths = [save(tmp_path / name, volume, axial) for name in ("a.nii.gz", "b.nii.gz")]
    card = {**CARD, "channels": ["t1", "t2"], "mean": [0.0, 0.5], "std": [1.0, 0.25]}
    one, two = preprocessing(card)({"image": paths})["image"]
    np.testing.assert_allclose(two, (one - 0.5) / 0.25, atol=1e-6)


def test_a_map_returns_to_the_space_of_the_input(tmp_path, voxel_to_world):
    volume = np.zeros((24, 22, 20), dtype=np.float32)
    volume[17, 6, 12] = 1000
    path = save(tmp_path / "a.nii.gz", volume, voxel_to_world)
    chain = preprocessing({**CARD, "spacing": [1.0, 1.0, 1.0]})
    item = chain({"image": path})
    back = Invertd("map", chain, orig_keys="image", nearest_interp=False)({**item, "map": item["image"].clone()})["map"]
    assert back.shape == (1, 24, 22, 20)
    np.testing.assert_allclose(back.affine, voxel_to_world, atol=1e-4)
    assert np.unravel_index(int(back[0].argmax()), back.shape[1:]) == (17, 6, 12)


@pytest.mark.filterwarnings("error:Corrupt cache file")
def test_items_travel_through_loaders_and_caches(tmp_path, axial):
    volume = smooth((8, 7, 6))
    write_dicom_series(tmp_path / "scans" / "a", volume, axial)
    save(tmp_path / "scans" / "b.nii.gz", volume, axial)
    items = [{"image": item["image"], "label": 1} for item in find_cases(tmp_path / "scans")]
    chain = pickle.loads(pickle.dumps(preprocessing({**CARD, "spacing": [2.0, 2.0, 2.0]})))
    cached = PersistentDataset(items, chain, cache_dir=tmp_path / "cache", track_meta=True)
    for dataset in (Dataset(items, chain), cached, cached):
        (batch,) = DataLoader(dataset, batch_size=2)
        assert batch["image"].shape == (2, 1, 8, 7, 6)
        np.testing.assert_allclose(batch["image"][0], batch["image"][1], atol=1e-4)


def test_errors_keep_their_reason(tmp_path, axial):
    path = save(tmp_path / "a.nii.gz", smooth((6, 5, 4)), axial)
    with pytest.raises(RuntimeError) as caught:
        preprocessing({**CARD, "channels": ["t1", "t2"]})({"image": path})
    assert isinstance(caught.value.__cause__, CrossDError)
    assert "takes 2 channel(s), t1, t2: '" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plane": "axila"}, "got 'axila'. Did you mean 'axial'"),
        ({"spacing": [1, 1]}, r"three positive lengths in millimetres .* or null, got \[1, 1\]. Example: \[1.0"),
        ({"spacing": [1, 0, 1]}, r"got \[1, 0, 1\]"),
        ({"spacing": "1mm"}, "got '1mm'"),
        ({"intensity": {"mode": "percentil", "lower": 1, "upper": 99}}, "Did you mean 'percentile'"),
        ({"intensity": {"window": [0, 1]}}, "must have the keys mode, lower and upper, got {'window'"),
        ({"intensity": "range"}, "must have the keys mode, lower and upper, got 'range'. Example"),
        ({"std": 0.0}, "std must be positive, got 0.0. Use 1.0"),
        ({"mean": [0.1, 0.2]}, r"mean must be a number or one per channel \(1\), got \[0.1, 0.2\]. Correct the card"),
        ({"channels": "t1"}, "channels must be a list of names, got 't1'"),
    ],
)
def test_the_card_is_checked(change, message):
    with pytest.raises(CrossDError, match=message):
        preprocessing({**CARD, **change})


def test_the_card_is_complete():
    card = {name: value for name, value in CARD.items() if name not in ("spacing", "std")}
    with pytest.raises(CrossDError, match=r"needs channels, plane, .*: spacing, std is missing. Add it."):
        preprocessing(card)
