"""Laws: turning a volume moves no voxel in space and can be undone; grey values end in [0, 1]."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crossd.data.transforms import CheckChannelsd, OrientPlaned, ScaleToUnitd
from crossd.errors import CrossDError
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, ScaleIntensity

PLANES = ["axial", "coronal", "sagittal", "acquired"]


def image_of(volume, voxel_to_world, has_affine=True):
    return MetaTensor(
        torch.from_numpy(volume.astype(np.float32))[None],
        affine=torch.from_numpy(voxel_to_world),
        meta={"has_affine": has_affine},
    )


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("has_affine", [True, False])
def test_every_voxel_stays_at_its_place(volume, voxel_to_world, plane, has_affine):
    image = image_of(volume, voxel_to_world, has_affine)
    turned = OrientPlaned("image", plane)({"image": image})["image"]
    to_input = np.linalg.inv(voxel_to_world) @ turned.affine.numpy()
    indices = np.moveaxis(np.indices(turned.shape[1:]), 0, -1).reshape(-1, 3)
    back = np.rint(indices @ to_input[:3, :3].T + to_input[:3, 3]).astype(int)
    np.testing.assert_array_equal(turned[0].numpy().ravel(), volume[tuple(back.T)])


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("has_affine", [True, False])
def test_inverse(volume, voxel_to_world, plane, has_affine):
    chain = Compose([OrientPlaned("image", plane)])
    item = chain({"image": image_of(volume, voxel_to_world, has_affine)})
    item["map"] = MetaTensor(item["image"] * 2, meta=item["image"].meta)
    item["map"].applied_operations = list(item["image"].applied_operations)
    back = Invertd("map", chain, orig_keys="image", nearest_interp=False)(item)["map"]
    np.testing.assert_array_equal(back[0], volume * 2)
    np.testing.assert_allclose(back.affine, voxel_to_world, atol=1e-6)


@pytest.mark.parametrize(
    ("plane", "depth", "height", "width"),  # unit vectors in RAS along which each axis must run
    [
        ("axial", (0, 0, 1), (0, -1, 0), (-1, 0, 0)),
        ("coronal", (0, -1, 0), (0, 0, -1), (-1, 0, 0)),
        ("sagittal", (1, 0, 0), (0, 0, -1), (0, -1, 0)),
    ],
)
def test_axes_run_as_radiologists_see_them(volume, voxel_to_world, plane, depth, height, width):
    turned = OrientPlaned("image", plane)({"image": image_of(volume, voxel_to_world)})["image"]
    directions = turned.affine.numpy()[:3, :3]
    for axis, wanted in enumerate((depth, height, width)):
        assert np.argmax(np.abs(directions[:, axis])) == np.argmax(np.abs(wanted))
        assert directions[:, axis] @ np.array(wanted) > 0


def test_a_bright_voxel_of_known_place(volume):
    """World (−20, 30, 40): 20 mm to the left, 30 mm to the front, 40 mm up from the origin."""
    voxel_to_world = np.array([[0, 0, 5.0, -50], [-2.0, 0, 0, 60], [0, 4.0, 0, 0], [0, 0, 0, 1]])  # i: P, j: S, k: R
    volume = np.zeros((40, 30, 20))
    volume[15, 10, 6] = 1
    np.testing.assert_array_equal(voxel_to_world @ [15, 10, 6, 1], [-20, 30, 40, 1])
    turned = OrientPlaned("image", "axial")({"image": image_of(volume, voxel_to_world)})["image"]
    assert turned.shape == (1, 30, 40, 20)
    # depth counts from z = 0 in 4 mm, height from y = 60 backwards in 2 mm, width from x = 45 to the left in 5 mm
    assert torch.nonzero(turned[0]).tolist() == [[10, 15, 13]]


def test_acquired_and_unknown_orientations_keep_the_file_s_axes(volume, voxel_to_world):
    acquired = OrientPlaned("image", "acquired")({"image": image_of(volume, voxel_to_world)})["image"]
    unknown = OrientPlaned("image", "axial")({"image": image_of(volume, voxel_to_world, has_affine=False)})["image"]
    plain = OrientPlaned("image", "axial")({"image": torch.from_numpy(volume)[None]})["image"]
    for turned in (acquired, unknown, plain):
        np.testing.assert_array_equal(turned[0], volume.transpose(2, 1, 0))


def test_planes_are_spelt_right():
    with pytest.raises(CrossDError, match="`plane` must be one of 'axial', 'coronal', 'sagittal', 'acquired'"):
        OrientPlaned("image", "sagital")
    with pytest.raises(CrossDError, match=r"got 'sagital'. Did you mean 'sagittal'"):
        OrientPlaned("image", "sagital")
    with pytest.raises(CrossDError, match=r"got None. Choose one of these."):
        OrientPlaned("image", None)


def scaled(volume, *options):
    return ScaleToUnitd("image", *options)({"image": torch.as_tensor(volume, dtype=torch.float32)})["image"]


def test_window():
    values = scaled([[-2000.0, -1000.0, -300.0, 400.0, 3000.0]], "window", -1000, 400)
    torch.testing.assert_close(values, torch.tensor([[0.0, 0.0, 0.5, 1.0, 1.0]]))


def test_percentiles_are_those_of_each_channel():
    volume = np.stack([np.arange(1001.0), 5000 - 3 * np.arange(1001.0)]).reshape(2, 7, 11, 13)
    values = scaled(volume, "percentile", 10, 90)
    expected = np.clip((np.arange(1001.0) - 100) / 800, 0, 1).reshape(7, 11, 13)
    np.testing.assert_allclose(values[0], expected, atol=1e-5)
    np.testing.assert_allclose(values[1], 1 - expected, atol=1e-5)


def test_range_is_that_of_each_channel():
    values = scaled([[0.0, 127.5, 255.0], [-4.0, 0.0, 0.0]], "range")
    torch.testing.assert_close(values, torch.tensor([[0.0, 0.5, 1.0], [0.0, 1.0, 1.0]]))


@pytest.mark.parametrize("options", [("window", 0, 10), ("percentile", 1, 99), ("range",)], ids=lambda o: o[0])
@pytest.mark.parametrize("value", [-3.0, 0.0])
def test_constant_volumes_become_zero(options, value):
    assert torch.equal(scaled(np.full((1, 4, 4, 4), value), *options), torch.zeros(1, 4, 4, 4))


def test_a_nearly_empty_mask_stays_a_mask():
    """Both percentiles are 0 here, and MONAI then does not clip."""
    volume = np.zeros((1, 20, 20, 20))
    volume[0, 3, 4, 5] = 255
    values = scaled(volume, "percentile", 1, 99)
    assert (values.min(), values.max(), values.sum()) == (0, 1, 1)


def test_scaling_keeps_the_meta_data(volume, axial):
    values = ScaleToUnitd("image", "percentile", 1, 99)({"image": image_of(volume, axial)})["image"]
    assert isinstance(values, MetaTensor)
    np.testing.assert_array_equal(values.affine, axial)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("windows", 0, 1), "`intensity mode` must be one of .* got 'windows'. Did you mean 'window'?"),
        (("window",), "Intensity mode 'window' needs lower < upper, got None and None. Example: -1000 and 400"),
        (("window", 5, 5), "needs lower < upper, got 5 and 5"),
        (("percentile", 99, 1), "Intensity mode 'percentile' needs lower < upper, got 99 and 1"),
        (("percentile", 0, float("nan")), "needs lower < upper, got 0 and nan"),
        (("percentile", -1, 101), "Percentiles lie between 0 and 100, got -1 and 101"),
        (("range", 0, 1), "'range' takes no lower and upper, got 0 and 1. Set both to null"),
    ],
)
def test_intensity_options(options, message):
    with pytest.raises(CrossDError, match=message):
        ScaleToUnitd("image", *options)


def test_channel_counts():
    item = {"image": MetaTensor(torch.zeros(2, 3, 3, 3), meta={"filename_or_obj": "a.nii.gz"})}
    assert CheckChannelsd("image", ["t1", "t2"])(item)["image"] is item["image"]
    with pytest.raises(CrossDError, match=r"takes 1 channel\(s\), image: 'a.nii.gz' has 2. Pass one volume per case."):
        CheckChannelsd("image", ["image"])(item)
    message = (
        r"takes 3 channel\(s\), t1, t2, flair: 'a.nii.gz' has 2. List the cases in a CSV with the columns image_1, im"
    )
    with pytest.raises(CrossDError, match=message):
        CheckChannelsd("image", ["t1", "t2", "flair"])(item)
    with pytest.raises(CrossDError, match=r"must be a list of names, got 't1'. Example"):
        CheckChannelsd("image", "t1")


@pytest.mark.parametrize("stored", ["as it is", "transposed"])
def test_a_range_is_scaled_as_monai_scales_it(stored):
    values = torch.randn(2, 5, 6, 7) * 300 - 1000
    values[1] *= 0.01
    image = MetaTensor(values if stored == "as it is" else values.permute(0, 3, 1, 2), affine=torch.eye(4) * 2)
    scaled = ScaleToUnitd("image", "range")({"image": image})["image"]
    expected = ScaleIntensity(0.0, 1.0, channel_wise=True)(image)
    assert torch.equal(scaled.as_tensor(), expected.as_tensor())
    assert torch.equal(scaled.affine, expected.affine)
    assert float(image.min()) < -1000  # the image itself is left alone
