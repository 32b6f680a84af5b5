"""Figures without a network: by hand for simple shapes, and for volumes that have none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crossd.probe.trivial import otsu, shape_figures, trivial_features
from monai.data import MetaTensor

INPUT = {"mean": 0.5, "std": 0.5}


def test_a_box_has_its_volume_surface_sides_and_centre():
    box = np.zeros((10, 12, 14))
    box[2:4, 3:7, 4:12] = 0.8
    figures = shape_figures(box, np.array([2.0, 1.0, 0.5]))
    assert np.exp(figures[0]) == pytest.approx(4 * 4 * 4)
    assert np.exp(figures[1]) == pytest.approx(6 * 16)
    assert figures[2] == pytest.approx(-96 / 64 ** (2 / 3))
    assert figures[3] == pytest.approx(1)
    np.testing.assert_allclose(np.exp(figures[4:7]), [4, 4, 4])
    np.testing.assert_allclose(np.exp(figures[7:10]), 4 / np.sqrt(12))
    np.testing.assert_allclose(figures[10:13], [3 / 10 - 0.5, 5 / 12 - 0.5, 8 / 14 - 0.5])
    np.testing.assert_allclose(figures[13:], [64 / 1680, 0.8, 0, 1])


@pytest.mark.parametrize("shape", [(1, 1, 30, 30), (2, 5, 1, 4), (1, 70, 3, 3)])
@pytest.mark.parametrize("value", [-1.0, 1.0, None])
def test_flat_and_empty_volumes_have_finite_figures(shape, value):
    values = torch.rand(shape) if value is None else torch.full(shape, value)
    for rows in trivial_features(MetaTensor(values, affine=torch.eye(4)), INPUT).values():
        assert rows.isfinite().all()
        assert rows.dtype == torch.float32


def test_voxels_are_means_on_the_scale_of_0_to_1():
    volume = MetaTensor(torch.full((1, 12, 12, 12), 0.0), affine=torch.eye(4))
    assert trivial_features(volume, INPUT)["voxels"].tolist() == [0.5] * 216


def test_otsu_parts_two_groups():
    values = np.concatenate([np.random.default_rng(0).normal(m, 0.05, 500).clip(0, 1) for m in (0.2, 0.7)])
    assert 0.35 < otsu(values) < 0.55
