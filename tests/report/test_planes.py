"""Slices come from where they say, the right way up, whatever way the volume lies."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from crossd.data.transforms import OrientPlaned
from crossd.inference import WindowInferer
from crossd.report.case_pictures import peak, planes_of
from monai.data import MetaTensor
from monai.transforms import Orientation
from torch import Tensor


def image(shape: tuple[int, ...] = (6, 8, 10), codes: str = "SPL", spacing: float = 1.0) -> MetaTensor:
    values = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    directions = {code: index for index, code in enumerate("RAS")} | {code: index for index, code in enumerate("LPI")}
    affine = torch.zeros(4, 4, dtype=torch.float64)
    for axis, code in enumerate(codes):
        affine[directions[code], axis] = spacing * (1 if code in "RAS" else -1)
    affine[3, 3] = 1
    return MetaTensor(values, affine=affine, meta={"has_affine": True})


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_plane_shows_what_preprocessing_for_that_plane_gives(plane: str) -> None:
    volume = image()
    found = {one.name: one for one in planes_of(volume, 50, 50)}[plane]
    expected = OrientPlaned("image", plane)({"image": volume})["image"][0]
    torch.testing.assert_close(found.picture(volume[0].as_tensor())[0], expected[0].as_tensor(), rtol=0, atol=0)


CODES = ["".join(code) for order in itertools.permutations(("RL", "AP", "SI")) for code in itertools.product(*order)]


@pytest.mark.parametrize("codes", CODES[::5])
def test_the_same_anatomy_whatever_way_the_volume_lies(codes: str) -> None:
    volume = image()
    turned = Orientation(codes, labels=None)(volume)
    expected = {one.name: one for one in planes_of(volume, 50, 50)}
    for one in planes_of(turned, 50, 50):
        same = expected[one.name]
        assert (one.shown, one.size, one.sides) == (same.shown, same.size, same.sides)
        torch.testing.assert_close(one.picture(turned[0].as_tensor()), same.picture(volume[0].as_tensor()))


def test_the_plane_along_depth_comes_first() -> None:
    assert planes_of(image(codes="SPL"), 9, 50)[0].name == "axial"
    assert planes_of(image(codes="AIL"), 9, 50)[0].name == "coronal"
    assert planes_of(image(codes="RIP"), 9, 50)[0].axes == (0, 1, 2)


def test_pixels_are_square_and_no_volume_is_enlarged() -> None:
    volume = image((5, 40, 60))
    volume.affine[:3, 0] *= 4  # slices of 4 mm
    sizes = {one.name: one.size for one in planes_of(volume, 9, 30)}
    assert sizes == {"axial": (20, 30), "coronal": (10, 30), "sagittal": (10, 20)}
    assert planes_of(volume, 9, 500)[0].size == (40, 60)


def test_without_an_affine_axes_are_named_as_they_are() -> None:
    volume = image()
    volume.meta["has_affine"] = False
    found = planes_of(volume, 9, 50)
    assert [one.name for one in found] == ["along depth", "along height", "along width"]
    assert found[0].sides == ()
    torch.testing.assert_close(
        found[2].picture(volume[0].as_tensor())[0], volume[0, :, :, found[2].shown[0]].as_tensor()
    )


def test_the_middle_slice_is_among_few() -> None:
    (axial, *others) = planes_of(image((99, 40, 41)), 25, 50)
    assert len(axial.shown) == 25
    assert axial.shown[axial.middle] == 49
    assert [len(one.shown) for one in others] == [12, 12]


@pytest.mark.parametrize("codes", ["SPL", "IAR", "LSA"])
def test_an_overlay_is_the_map_at_these_slices(codes: str) -> None:
    volume = image((24, 20, 28), codes)
    evidence = WindowInferer(8, overlap=0.5).windows(
        torch.randn(1, 1, 24, 20, 28), lambda x: torch.stack([x.mean((1, 2, 3, 4)) * 9, x.amax((1, 2, 3, 4))], 1)
    )
    whole = evidence.map(1)()
    for plane in planes_of(volume, 5, 500):
        torch.testing.assert_close(plane.overlay(evidence.map(1), shrink=1), plane.picture(whole))
        half = torch.nn.functional.avg_pool2d(plane.picture(whole)[None], 2)[0]
        torch.testing.assert_close(plane.overlay(evidence.map(1), shrink=2), half)


def test_the_peak_is_the_slice_with_the_highest_value() -> None:
    def found(values: Tensor) -> int:
        return peak(values[:, None, None].expand(-1, 2, 2))

    assert found(torch.tensor([0.0, 0.3, 0.1])) == 1
    assert found(torch.tensor([0.5, 0.5, 0.5, 0.1])) == 1  # the middle of several
    assert np.isclose(found(torch.zeros(5)), 2)
