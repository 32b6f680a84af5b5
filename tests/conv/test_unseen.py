"""Laws of the unseen part: 2D answers at rest do not depend on it, and without it U is a plain inflation."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDConv, CrossDResNet
from crossd.conv import inflate_kernel, set_alignment, set_through_plane
from crossd.conv.unseen import drop_unseen, unseen_part, unseen_penalty
from crossd.errors import CrossDError
from torch import nn

cases = pytest.mark.parametrize(
    ("motion", "view", "size"),
    [(motion, view, size) for motion in ("shift", "rotate") for view in ("slice", "projection") for size in (3, 4, 5)],
)


@cases
def test_2d_answers_at_rest_do_not_depend_on_it(motion, view, size):
    layer = CrossDConv(2, 2, 3, size, alignment="rest", motion=motion, view=view, dtype=torch.float64)
    before = layer.kernel().detach()
    drop_unseen(layer)
    torch.testing.assert_close(layer.kernel().detach(), before)
    torch.testing.assert_close(unseen_part(layer), torch.zeros_like(layer.weight))


@cases
def test_without_it_the_volume_kernel_is_i3d_inflation(motion, view, size):
    options = {"alignment": "rest", "motion": motion, "view": view, "dtype": torch.float64}
    image_layer, volume_layer = CrossDConv(2, 2, 3, size, **options), CrossDConv(3, 2, 3, size, **options)
    kernel = image_layer.kernel().detach()
    volume_layer.load_state_dict(drop_unseen(image_layer).state_dict())
    expected = inflate_kernel(kernel, "centre" if view == "slice" else "mean")
    torch.testing.assert_close(volume_layer.kernel().detach(), expected)


@cases
def test_the_penalty_leaves_what_is_seen_alone(motion, view, size):
    layer = CrossDConv(2, 2, 3, size, alignment="rest", motion=motion, view=view, dtype=torch.float64)
    seen = layer.kernel().detach()
    unseen_penalty(layer).backward()
    with torch.no_grad():
        layer.weight -= 0.5 * layer.weight.grad
    torch.testing.assert_close(layer.kernel().detach(), seen)


@cases
def test_after_training_on_all_axes_every_view_stays(motion, view, size):
    layer = CrossDConv(2, 2, 3, size, alignment="rest", motion=motion, view=view, dtype=torch.float64)
    before = [set_through_plane(layer, axis).kernel().detach() for axis in (0, 1, 2)]
    drop_unseen(layer, (0, 1, 2))
    for axis in (0, 1, 2):
        torch.testing.assert_close(set_through_plane(layer, axis).kernel().detach(), before[axis])
    unseen = unseen_part(CrossDConv(2, 2, 3, size, motion=motion, view=view, dtype=torch.float64), (0, 1, 2))
    assert unseen.abs().max() > 1e-3  # something there was to drop


def test_a_network_is_changed_in_every_layer_and_in_2d_answers_the_same():
    network = set_alignment(CrossDResNet(2, 1, 2, depth=10, width=4), "rest").eval()
    images = torch.randn(2, 1, 32, 32)
    before = network(images)
    torch.testing.assert_close(drop_unseen(network)(images), before, atol=1e-5, rtol=1e-5)
    assert float(unseen_penalty(network).detach()) < 1e-6


def test_networks_without_such_layers_are_refused():
    with pytest.raises(CrossDError, match="Sequential has none"):
        drop_unseen(nn.Sequential(nn.Conv2d(1, 1, 3), CrossDConv(2, 1, 1, 1)))
