"""Axis by axis is what MONAI computes with a grid, meta data and inverse included."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from crossd.data import resampling
from crossd.data.resampling import SeparableResample, SeparableSpacingd, parallel_grids, resample_axis
from crossd.errors import CrossDError
from monai.data import MetaTensor
from monai.transforms import Spacingd, SpatialResample


def image(affine: np.ndarray, shape: tuple[int, ...] = (11, 9, 6)) -> MetaTensor:
    values = torch.rand(2, *shape, generator=torch.Generator().manual_seed(1))
    return MetaTensor(values, affine=torch.as_tensor(affine))


def turned(affine: np.ndarray, degrees: float) -> np.ndarray:
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cos, -sin, 0, 5], [sin, cos, 0, -7], [0, 0, 1, 2], [0, 0, 0, 1]]) @ affine


PERMUTED = np.array([[0, -0.7, 0, 3], [0.9, 0, 0, 4], [0, 0, 2.5, 1], [0, 0, 0, 1.0]])


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The axes that were resampled, to see which way was taken."""
    taken: list[int] = []

    def noted(data: torch.Tensor, axis: int, *rest: float) -> torch.Tensor:
        taken.append(axis)
        return resample_axis(data, axis, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(resampling, "resample_axis", noted)
    return taken


@pytest.mark.parametrize("affine", [np.diag([0.8, 0.8, 3, 1]), np.diag([-2.0, -0.3, 1, 1]), PERMUTED])
@pytest.mark.parametrize("degrees", [0, 17])
@pytest.mark.parametrize("pixdim", [[1.0, 1.0, 1.0], [0.6, 1.7, 2.0]])
def test_spacing_is_monais(affine: np.ndarray, degrees: float, pixdim: list[float], axes: list[int]) -> None:
    """An oblique volume keeps its axes when its spacing changes, so it too is resampled axis by axis."""
    source = {"image": image(turned(affine, degrees))}
    ours, theirs = SeparableSpacingd("image", pixdim), Spacingd("image", pixdim)
    got, expected = ours(source)["image"], theirs(source)["image"]
    assert sorted(axes) == [1, 2, 3]
    torch.testing.assert_close(got.as_tensor(), expected.as_tensor(), rtol=0, atol=1e-6)
    assert torch.equal(got.affine, expected.affine)
    assert got.dtype == expected.dtype
    assert got.applied_operations[0]["orig_size"] == tuple(expected.applied_operations[0]["orig_size"])
    back = ours.inverse({"image": got})["image"]
    torch.testing.assert_close(back.as_tensor(), theirs.inverse({"image": expected})["image"].as_tensor())
    torch.testing.assert_close(back.affine, source["image"].affine)


def test_a_sheared_volume_goes_monais_way(axes: list[int]) -> None:
    tilted = np.diag([1.0, 1, 3, 1])
    tilted[1, 2] = 0.9
    source = {"image": image(tilted)}
    got, expected = (kind("image", [1.0, 1, 1])(source)["image"] for kind in (SeparableSpacingd, Spacingd))
    assert axes == []
    assert torch.equal(got.as_tensor(), expected.as_tensor())


def test_the_right_spacing_is_left_alone(axes: list[int]) -> None:
    source = {"image": image(np.eye(4))}
    assert torch.equal(SeparableSpacingd("image", [1.0, 1, 1])(source)["image"], source["image"])
    assert axes == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_axes_in_another_order(order: tuple[int, ...], axes: list[int]) -> None:
    target = np.eye(4)
    target[:3, :3] = np.eye(3)[:, order] * [1.3, -0.7, 1.0]
    target[:3, 3] = [1.5, 4, 2]
    source, size = image(np.eye(4)), (7, 8, 9)
    got = SeparableResample()(source, dst_affine=torch.as_tensor(target), spatial_size=size)
    expected = SpatialResample()(source, dst_affine=torch.as_tensor(target), spatial_size=size)
    assert len(axes) == 3
    torch.testing.assert_close(got.as_tensor(), expected.as_tensor(), rtol=0, atol=1e-6)
    torch.testing.assert_close(got.affine, expected.affine)


def test_an_axis_of_one_voxel() -> None:
    source = {"image": image(np.diag([1.0, 1, 5, 1]), (4, 3, 1))}
    got, expected = (kind("image", [1.0, 1, 1])(source)["image"] for kind in (SeparableSpacingd, Spacingd))
    torch.testing.assert_close(got.as_tensor(), expected.as_tensor())


def test_a_small_turn_is_not_parallel() -> None:
    assert parallel_grids(np.eye(4), turned(np.eye(4), 0.01), (512, 512, 100)) is None
    assert parallel_grids(np.eye(4), turned(np.eye(4), 1e-6), (512, 512, 100)) is not None
    assert parallel_grids(np.eye(4), turned(np.eye(4), 45), (2, 2, 2)) is None


def test_a_volume_that_would_be_too_large_is_refused():
    """Spacings of metres, as a damaged header has them: told before any memory is taken."""
    given = image(np.diag([1000.0, 1000.0, 1000.0, 1.0]))
    given.meta["filename_or_obj"] = "/scans/a.nii"
    message = r"'/scans/a.nii' has, at 1 × 1 × 0.5 mm, 11000 × 9000 × 12000 voxels, where .* CROSSD_MAX_VOXELS"
    with pytest.raises(CrossDError, match=message):
        SeparableSpacingd("image", pixdim=[1.0, 1.0, 0.5])({"image": given})


def test_other_entries_of_an_item_stay_as_they_are() -> None:
    """MONAI Label's items hold `image_path`; MONAI's Spacingd takes it for meta data where the image is NIfTI."""
    given = image(np.diag([1.0, 1, 2, 1]))
    given.meta["filename_or_obj"] = "/scans/a.nii.gz"
    item = SeparableSpacingd("image", (1.0, 1.0, 1.0))({"image": given, "image_path": "/scans/a.nii.gz"})
    assert item["image_path"] == "/scans/a.nii.gz"
    assert item["image"].shape == (2, 11, 9, 11)


def test_an_axis_of_less_than_a_voxel_hides_no_size():
    """It becomes one voxel, so that the others count in full."""
    image = MetaTensor(torch.zeros(1, 4, 4, 4), affine=torch.diag(torch.tensor([1e5, 1e5, 1e-9, 1])).double())
    with pytest.raises(CrossDError, match=r"has, at 1 × 1 × 1 mm, 400000 × 400000 × 1 voxels"):
        SeparableSpacingd("image", pixdim=[1.0, 1.0, 1.0])({"image": image})
