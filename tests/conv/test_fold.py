"""Folding keeps the output; calibration is the mean motion over images."""

from __future__ import annotations

import copy

import pytest
import torch
from crossd import CrossDConv, CrossDError, CrossDResNet, calibrate, fold, set_alignment
from crossd.conv import set_through_plane
from crossd.motion import motion_in_volume
from torch import nn


@pytest.mark.parametrize("alignment", ["raw", "rest", "running"])
@pytest.mark.parametrize("motion", ["shift", "rotate"])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_folded_network_is_plain_and_answers_the_same(spatial_dims, motion, alignment):
    network = CrossDResNet(spatial_dims, 1, 3, depth=10, width=4, alignment=alignment, motion=motion).eval()
    for layer in network.modules():
        if isinstance(layer, CrossDConv) and layer.running_motion is not None:
            layer.running_motion.copy_(torch.randn(3) * 0.3)
    before = copy.deepcopy(network.state_dict())
    folded = fold(network)
    assert not any(isinstance(m, CrossDConv) for m in folded.modules())
    x = torch.randn(2, 1, *[24] * spatial_dims)
    with torch.no_grad(), torch.jit.optimized_execution(False):
        expected = network(x)
        torch.testing.assert_close(folded(x), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(torch.jit.script(folded)(x), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(network.state_dict(), before)


def test_a_shared_layer_stays_shared():
    layer = CrossDConv(3, 2, 2, 3, padding=1)
    folded = fold(nn.Sequential(layer, nn.ReLU(), layer))
    assert folded[0] is folded[2]


def test_dynamic_kernels_cannot_be_folded():
    network = CrossDResNet(2, 1, 2, depth=10, width=4)
    with pytest.raises(CrossDError, match='conv1 has alignment "dynamic"'):
        fold(network)
    fold(set_alignment(network, "running"))


def test_calibration_is_the_mean_over_all_images():
    network = CrossDResNet(2, 1, 2, depth=10, width=4).eval()
    images = [torch.randn(4, 1, 32, 32), torch.randn(2, 1, 32, 32) * 3]
    expected = network.conv1.predictor(torch.cat(images)).mean(0)
    calibrate(network, images)
    torch.testing.assert_close(network.conv1.running_motion, expected)
    with pytest.raises(CrossDError, match="needs at least one batch of images"):
        calibrate(network, [])
    with pytest.raises(CrossDError, match="needs a 2D network with alignment"):
        calibrate(set_alignment(CrossDResNet(2, 1, 2, depth=10, width=4), "running"), images)


def test_calibrating_on_volumes_averages_what_the_3d_layers_predict():
    network = CrossDResNet(3, 1, 2, depth=10, width=4).eval()
    volumes = [torch.randn(3, 1, 16, 16, 16), torch.randn(2, 1, 16, 16, 16)]
    expected = torch.cat([network.conv1.predictor(batch) for batch in volumes]).mean(0)
    calibrate(network, volumes)
    torch.testing.assert_close(network.conv1.running_motion, expected.detach())
    assert network.layer4[0].conv1.running_motion.abs().sum() > 0


def test_calibrating_on_coronal_images_keeps_motions_of_the_volume():
    layer = set_through_plane(CrossDConv(2, 1, 4, 3), 1).eval()
    images = torch.randn(5, 1, 9, 9)
    expected = motion_in_volume(layer.predictor(images), 1).mean(0)
    torch.testing.assert_close(calibrate(layer, [images]).running_motion, expected.detach())
