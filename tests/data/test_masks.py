"""A mask is checked against its image and the classes, and comes onto the image's grid without a voxel moved."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from crossd.data import preprocessing
from crossd.data.masks import LoadMaskd, read_mask
from crossd.data.reading import read_volume
from crossd.errors import CrossDError

CARD = {"channels": ["image"], "plane": "axial", "spacing": None, "mean": 0.0, "std": 1.0}
CARD |= {"intensity": {"mode": "range"}}
ORIENTATIONS = [np.diag([1.0, 1, 1, 1]), np.diag([-1.0, 1, -2, 1]), np.eye(4)[[2, 0, 1, 3]] * 1.5]


def written(folder, voxels, affine=ORIENTATIONS[0], name="mask"):
    path = folder / f"{name}.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return str(path)


@pytest.fixture
def blocks():
    voxels = np.zeros((5, 6, 7), np.uint8)
    voxels[1:3, 2:5, 1:4], voxels[3:, :2, 4:] = 1, 4
    return voxels


@pytest.mark.parametrize("affine", ORIENTATIONS)
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal", "acquired"])
def test_the_mask_goes_where_the_image_goes(tmp_path, blocks, affine, plane):
    """Image and mask with the same voxels must be the same array after preprocessing, whatever the orientation."""
    image = written(tmp_path, blocks.astype(np.float32), affine, "image")
    item = {"image": [image], "mask": written(tmp_path, blocks, affine)}
    item = LoadMaskd([0, 1, 4])(preprocessing({**CARD, "plane": plane})(item))
    expected = torch.as_tensor(item["image"]) * 4
    values = torch.tensor([0, 1, 4])[torch.as_tensor(item["label"]).long()]
    assert torch.equal(values.float(), expected.round())
    assert item["label"].dtype == torch.uint8


def test_spacing_takes_the_nearest_voxel_and_invents_no_class(tmp_path, blocks):
    image = written(tmp_path, blocks.astype(np.float32), ORIENTATIONS[0], "image")
    item = preprocessing({**CARD, "spacing": [0.5, 0.7, 0.8]})({"image": [image], "mask": written(tmp_path, blocks)})
    label = LoadMaskd([0, 1, 4])(item)["label"]
    assert label.shape == item["image"].shape
    assert sorted(label.unique().tolist()) == [0, 1, 2]
    share = float((label == 1).float().mean()) / float((blocks == 1).mean())
    assert 0.6 < share < 1.6
    for index, value in ((1, 1), (2, 4)):  # in millimetres each block lies where it lay
        there = torch.nonzero(torch.as_tensor(label)[0] == index).double().mean(0)
        middle = label.affine.double() @ torch.cat([there, torch.ones(1)]).double()
        was = np.argwhere(blocks == value).mean(0)
        assert np.abs(middle[:3].numpy() - was).max() < 0.3


def test_a_turned_image(tmp_path, blocks):
    cos, sin = np.cos(0.4), np.sin(0.4)
    affine = np.array([[cos, -sin, 0, 3], [sin, cos, 0, 0], [0, 0, 2, 1], [0, 0, 0, 1.0]])
    image = written(tmp_path, blocks.astype(np.float32), affine, "image")
    item = {"image": [image], "mask": written(tmp_path, blocks, affine)}
    item = LoadMaskd([0, 1, 4])(preprocessing(CARD)(item))
    values = torch.tensor([0, 1, 4])[torch.as_tensor(item["label"]).long()]
    assert torch.equal(values.float(), (torch.as_tensor(item["image"]) * 4).round())


def test_rounding_of_an_affine_is_no_difference(tmp_path, blocks):
    image = read_volume(written(tmp_path, blocks.astype(np.float32), ORIENTATIONS[0], "image"))
    shifted = ORIENTATIONS[0] + np.array([[0, 0, 0, 0.01]] * 3 + [[0.0] * 4])
    indices, _ = read_mask(written(tmp_path, blocks, shifted), image, [0, 1, 4])
    assert np.array_equal(np.array([0, 1, 4])[indices], blocks)


def refused(tmp_path, blocks, mask, message, affine=ORIENTATIONS[0], values=(0, 1, 4), **options):
    image = read_volume(written(tmp_path, blocks.astype(np.float32), ORIENTATIONS[0], "image"))
    with pytest.raises(CrossDError, match=message):
        read_mask(written(tmp_path, mask, affine), image, values, **options)


def test_refuses_another_shape(tmp_path, blocks):
    refused(tmp_path, blocks, blocks[1:], r"has the shape of its image: '.*mask.*' has \(4, 6, 7\) and .* \(5, 6, 7\)")


def test_refuses_another_place(tmp_path, blocks):
    moved = ORIENTATIONS[0].copy()
    moved[0, 3] = 3
    refused(tmp_path, blocks, blocks, r"lies where its image does: .* up to 3 mm apart at the corners", moved)
    refused(tmp_path, blocks, blocks, r"lies where its image does", ORIENTATIONS[1])


def test_refuses_values_that_are_no_class(tmp_path, blocks):
    refused(tmp_path, blocks, blocks, r"those of the classes, 0, 1: '.*' also has 4\. Declare", values=(0, 1))
    refused(tmp_path, blocks, blocks.astype(np.int16) - 1, r"also has -1, 3", values=(0, 1, 4))


def test_refuses_fractions(tmp_path, blocks):
    mask = blocks.astype(np.float32)
    mask[1, 2, 3] = 0.5
    refused(tmp_path, blocks, mask, r"whole numbers: '.*' has 1 others, such as 0.5 at \(1, 2, 3\)")


def test_refuses_an_empty_mask_unless_it_may_be_empty(tmp_path, blocks):
    refused(tmp_path, blocks, np.zeros_like(blocks), r"A mask shows something: '.*' is background only\. .*allow_empty")
    image = read_volume(written(tmp_path, blocks.astype(np.float32), ORIENTATIONS[0], "image"))
    assert read_mask(written(tmp_path, np.zeros_like(blocks)), image, [0, 1], allow_empty=True)[0].sum() == 0


def test_hippocampus_labels_lie_on_their_images(shared_data):
    folder = shared_data / "hippocampus_msd"
    for path in sorted((folder / "labels").glob("*_0[03]*.nii.gz"))[:6]:
        image = folder / "images" / path.name
        if image.exists():
            item = LoadMaskd([0, 1, 2])(preprocessing(CARD)({"image": [str(image)], "mask": str(path)}))
            assert item["label"].shape == item["image"].shape
            assert int((item["label"] > 0).sum()) == int((nibabel.load(path).get_fdata() > 0).sum())
