"""Laws of the through-plane axis: each orientation of an image sees the same 3D kernel from its own side."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDConv, CrossDResNet
from crossd.conv import random_through_plane, set_through_plane
from crossd.errors import CrossDError
from crossd.motion import motion_in_image, motion_in_volume

double = torch.float64


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("view", ["slice", "projection"])
@pytest.mark.parametrize("motion", ["shift", "rotate"])
@pytest.mark.parametrize("alignment", ["raw", "rest", "running"])
@pytest.mark.parametrize("size", [3, 4, 5])
def test_the_2d_kernel_is_that_view_of_the_3d_kernel(axis, view, motion, alignment, size):
    options = {"alignment": alignment, "motion": motion, "view": view, "dtype": double}
    image_layer, volume_layer = CrossDConv(2, 2, 3, size, **options), CrossDConv(3, 2, 3, size, **options)
    image_layer.running_motion.copy_(torch.tensor([0.3, -0.5, 0.2]))
    volume_layer.load_state_dict(image_layer.state_dict())
    moved = volume_layer.kernel()
    expected = moved.select(axis + 2, size // 2) if view == "slice" else moved.sum(axis + 2)
    torch.testing.assert_close(set_through_plane(image_layer, axis).kernel(), expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_image_and_volume_components_of_a_motion_are_inverse(axis):
    v = torch.randn(5, 3)
    torch.testing.assert_close(motion_in_image(motion_in_volume(v, axis), axis), v)


@pytest.mark.parametrize("axis", [1, 2])
def test_the_running_motion_is_that_of_the_volume(axis):
    layer = CrossDConv(2, 2, 3, 3, momentum=1.0).train()
    images = torch.randn(4, 2, 9, 9)
    seen = set_through_plane(layer, axis).predictor(images).mean(0, keepdim=True)
    layer(images)
    torch.testing.assert_close(layer.running_motion[None], motion_in_volume(seen, axis))
    assert not torch.allclose(layer.running_motion[None], seen)


def test_3d_answers_are_not_concerned():
    network = CrossDResNet(3, 1, 2, depth=10, width=4).eval()
    volume = torch.randn(1, 1, 16, 16, 16)
    before = network(volume)
    assert torch.equal(set_through_plane(network, 1)(volume), before)


def test_each_axis_trains_another_slice():
    """At rest under rotation and slice, the gradient of an image falls on the middle slice across its own axis."""
    for axis in (0, 1, 2):
        layer = CrossDConv(2, 1, 2, 3, alignment="rest", motion="rotate")
        set_through_plane(layer, axis)(torch.randn(2, 1, 9, 9)).square().sum().backward()
        touched = layer.weight.grad.abs().sum((0, 1)).movedim(axis, 0).sum((1, 2)) > 1e-4
        assert touched.tolist() == [False, True, False]


def test_axes_are_drawn_from_seed_and_step_and_evenly():
    network = CrossDResNet(2, 1, 2, depth=10, width=4)
    drawn = [random_through_plane(network, 3, step) for step in range(30)]
    assert drawn == [random_through_plane(network, 3, step) for step in range(30)]
    assert drawn != [random_through_plane(network, 4, step) for step in range(30)]
    assert [drawn.count(axis) for axis in (0, 1, 2)] == [10, 10, 10]
    last = random_through_plane(network, 3, 30)
    assert {module.through_plane for module in network.modules() if isinstance(module, CrossDConv)} == {last}


def test_other_axes_are_refused():
    with pytest.raises(CrossDError, match=r"axis.*3"):
        set_through_plane(CrossDConv(2, 1, 1, 3), 3)


def test_it_scripts():
    layer = set_through_plane(CrossDConv(2, 1, 2, 3, padding=1), 1).eval()
    x = torch.randn(1, 1, 9, 9)
    torch.testing.assert_close(torch.jit.script(layer)(x), layer(x))
