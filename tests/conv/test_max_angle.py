"""The range of the predicted angle: π/4 as published, wider when asked for."""

from __future__ import annotations

import math

import pytest
import torch
from crossd import CrossDConv, CrossDResNet
from crossd.errors import CrossDError
from crossd.motion import axis_angle


def test_a_quarter_pi_is_the_published_range_to_the_bit():
    raw = torch.randn(64, 4) * 3
    published = axis_angle(raw)
    axis = raw[:, :3] / (torch.linalg.vector_norm(raw[:, :3], dim=1, keepdim=True) + 1e-8)
    assert torch.equal(published, axis * (torch.tanh(raw[:, 3:]) * (torch.pi / 4)))
    assert torch.equal(axis_angle(raw, math.pi / 4), published)
    plain, named = CrossDConv(2, 2, 3, 3).eval(), CrossDConv(2, 2, 3, 3, max_angle=math.pi / 4).eval()
    named.load_state_dict(plain.state_dict())
    images = torch.randn(2, 2, 9, 9)
    assert torch.equal(named(images), plain(images))


def test_a_wider_range_scales_the_angle_and_leaves_the_state_dict():
    plain, wide = CrossDConv(2, 2, 3, 3).eval(), CrossDConv(2, 2, 3, 3, max_angle=math.pi).eval()
    wide.load_state_dict(plain.state_dict())
    images = torch.randn(2, 2, 9, 9)
    torch.testing.assert_close(wide.predictor(images), 4 * plain.predictor(images))


def test_networks_pass_it_on():
    network = CrossDResNet(2, 1, 2, depth=10, width=4, max_angle=1.5)
    angles = {module.predictor.max_angle for module in network.modules() if getattr(module, "predictor", None)}
    assert angles == {1.5}


@pytest.mark.parametrize("value", [0.0, -1.0, 4.0])
def test_impossible_ranges_are_refused(value):
    with pytest.raises(CrossDError, match=rf"max_angle.*got {value}.*π/4"):
        CrossDConv(2, 1, 1, 3, max_angle=value)


def test_a_wide_range_scripts():
    layer = CrossDConv(2, 1, 2, 3, max_angle=3.0).eval()
    images = torch.randn(1, 1, 9, 9)
    torch.testing.assert_close(torch.jit.script(layer)(images), layer(images))
