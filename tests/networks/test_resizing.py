"""Resizing by one matrix an axis: torch's interpolation, and what stays the same."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from crossd.networks.images_of_volumes import interpolation, resize


@pytest.mark.parametrize(("length", "wanted"), [(28, 96), (96, 28), (97, 96), (5, 17), (31, 1), (1, 4)])
def test_it_is_what_torch_gives_for_images_where_it_shrinks_by_means(length, wanted):
    image = torch.rand(2, 3, length, length)
    expected = F.interpolate(image, (wanted, wanted), mode="bilinear", align_corners=False, antialias=wanted < length)
    torch.testing.assert_close(resize(image, wanted, (1, 1)), expected, atol=1e-5, rtol=0)


def test_volumes_grow_as_torch_lets_them():
    volume = torch.rand(1, 2, 7, 8, 9)
    expected = F.interpolate(volume, (16, 19, 21), mode="trilinear", align_corners=False)
    torch.testing.assert_close(resize(volume, 21, (1, 1, 1)), expected, atol=1e-5, rtol=0)


def test_a_volume_shrinks_by_means_and_not_by_picking():
    board = torch.zeros(1, 1, 32, 32, 32)
    board[..., ::4] = 1
    smaller = resize(board, 8, (1, 1, 1))
    assert smaller.shape == (1, 1, 8, 8, 8)
    assert (smaller[..., 1:-1] - 0.25).abs().max() < 0.07
    assert F.interpolate(board, (8, 8, 8), mode="trilinear", align_corners=False).unique().tolist() == [0.0]


def test_constants_stay_and_rows_have_the_sum_one():
    for length, wanted in ((3, 10), (10, 3), (6, 6)):
        torch.testing.assert_close(interpolation(length, wanted).sum(1), torch.ones(wanted))
    assert (resize(torch.full((1, 1, 5, 6, 7), 3.0), 13, (1, 2, 1)) - 3).abs().max() < 1e-5
