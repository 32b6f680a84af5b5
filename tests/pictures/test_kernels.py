"""Pictures of kernels show what the layers hold and predict."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDConv, CrossDResNet
from crossd.errors import CrossDError
from crossd.pictures.kernels import animate_kernels, kernels_at, plot_motions, plot_stored
from crossd.pictures.motions import displacement, moving_layers, predicted_motions
from PIL import Image
from torch import nn


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return CrossDResNet(2, 1, 2, depth=10, width=4, conv1_t_size=3)


def test_layers_that_move_are_those_with_a_spatial_kernel(network):
    layers = moving_layers(network)
    assert "conv1" in layers
    assert all("downsample" not in name for name in layers)


@pytest.mark.parametrize("dims", [2, 3])
def test_predictions_are_those_of_the_layers(dims):
    network = CrossDResNet(dims, 1, 2, depth=10, width=4).train()
    batches = [torch.randn(3, 1, *[16] * dims), torch.randn(2, 1, *[16] * dims)]
    motions = predicted_motions(network, batches)
    assert network.training
    assert set(motions) == set(moving_layers(network))
    network.eval()
    expected = torch.cat([network.conv1.predictor(batch) for batch in batches])
    torch.testing.assert_close(motions["conv1"], expected.detach())
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_displacement_is_zero_at_rest():
    shift, turn = CrossDConv(2, 1, 1, 3), CrossDConv(2, 1, 1, 3, motion="rotate")
    assert displacement(shift, torch.zeros(1, 3)).tolist() == [[0, 0, 0]]
    torch.testing.assert_close(displacement(turn, torch.tensor([[torch.pi / 4, 0, 0]])), torch.tensor([[45.0, 0, 0]]))


def test_kernels_are_what_the_layer_convolves_with_strongest_first():
    layer = CrossDConv(2, 2, 3, 3, motion="rotate")
    v = torch.tensor([[0.3, 0.1, -0.4], [0.0, 0.2, 0.5]])
    norms = layer.weight.detach().flatten(0, 1).flatten(1).norm(dim=1)
    best = norms.argsort(descending=True)[:2]
    expected = layer.kernel(v).detach().flatten(1, 2)[:, best]
    torch.testing.assert_close(kernels_at(layer, "", 2, "slice", v), expected)


@pytest.mark.slow
def test_pictures_are_written(network, tmp_path):
    images = torch.randn(2, 1, 16, 16)
    motions = predicted_motions(network, [images])
    plot_stored(tmp_path / "stored.png", network, "conv1")
    plot_motions(tmp_path / "motions.png", network, motions)
    animate_kernels(tmp_path / "moving.gif", network, "conv1", images, motions["conv1"])
    for name in ("stored.png", "motions.png"):
        colours = Image.open(tmp_path / name).convert("RGB").getcolors(1 << 20)
        assert colours
        assert len(colours) > 50
    moving = Image.open(tmp_path / "moving.gif")
    assert moving.n_frames == 2


def test_refusals(network, tmp_path):
    with pytest.raises(CrossDError, match=r"Only Cross-D layers .* Sequential has none"):
        predicted_motions(nn.Sequential(nn.Conv2d(1, 1, 3)), [torch.zeros(1, 1, 9, 9)])
    with pytest.raises(CrossDError, match="got none for conv1"):
        predicted_motions(network, [])
    with pytest.raises(CrossDError, match=r"layer.*nothing"):
        plot_stored(tmp_path / "x.png", network, "nothing")
    with pytest.raises(CrossDError, match=r"one motion each; got \(2, 1, 9, 9\) and 3 motions"):
        animate_kernels(tmp_path / "x.gif", network, "conv1", torch.zeros(2, 1, 9, 9), torch.zeros(3, 3))
