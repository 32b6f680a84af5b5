"""The published algorithm computes what the layer computes, and contestants are what their names say."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDConv, CrossDResNet
from crossd.conv import layer as layer_module
from crossd.conv import predictor
from crossd.conv.predictor import MotionPredictor
from crossd.errors import CrossDError

from scripts.benchmarks.speed.contestants import KINDS, build
from scripts.benchmarks.speed.fft import FFTConv2d, moved_by_fft, with_fft


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_fft_equals_the_layer(kernel_size, mode):
    layer = CrossDConv(2, 8, 12, kernel_size, stride=2, padding=kernel_size // 2, groups=2, bias=False)
    fft = FFTConv2d(layer)
    x = torch.randn(4, 8, 13, 11)
    torch.testing.assert_close(fft.train(mode)(x), layer.train(mode)(x), atol=1e-5, rtol=0)


def test_fft_has_the_gradients_of_the_layer():
    layer = CrossDConv(2, 4, 6, 3, padding=1, bias=False).double()
    fft = FFTConv2d(layer).double()
    x = torch.randn(3, 4, 7, 7, dtype=torch.float64)
    for module in (layer, fft):
        module(x).square().sum().backward()
    torch.testing.assert_close(fft.weight.grad, layer.weight.grad)
    for (name, ours), theirs in zip(layer.predictor.named_parameters(), fft.predictor.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad.reshape(ours.shape), ours.grad, msg=name)


def test_fft_network_equals_the_network():
    torch.manual_seed(1)
    network = CrossDResNet(2, 3, 5, depth=10, width=8).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        ours = network(x)
        theirs = with_fft(network).eval()(x)
    assert not any(isinstance(module, CrossDConv) for module in network.modules())
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-4)


def test_fft_kernels_equal_those_of_the_layer():
    generators = {name: build("generation", name, (5, 7, 3)) for name in KINDS["generation"]}
    motion = torch.randn(3, 3) * 0.4
    kernels = {name: module(motion) for name, module in generators.items()}
    torch.testing.assert_close(kernels["FFT"], kernels["CrossDConv"], atol=1e-5, rtol=0)


def test_at_rest_the_published_motion_is_a_roll_by_one():
    weight = torch.randn(2, 2, 3, 3, 3)
    moved = moved_by_fft(weight, torch.zeros(1, 3), torch.zeros(1, 1))[0]
    torch.testing.assert_close(moved, weight.roll((1, 1, 1), (2, 3, 4))[:, :, 1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", KINDS["layer"])
def test_layers_give_one_shape(name):
    assert build("layer", name, (6, 9, 3))(torch.randn(2, 6, 8, 10)).shape == (2, 9, 8, 10)


def test_layers_of_one_seed_compute_one_function():
    x = torch.randn(2, 6, 8, 8)
    ours, theirs = (build("layer", name, (6, 9, 3)).eval()(x) for name in ("CrossDConv", "FFT"))
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=0)


def test_every_way_computes_one_function(monkeypatch):
    monkeypatch.setattr(predictor, "MANY_POSITIONS", 100)
    x, taken, answers = torch.randn(2, 1, 40, 40), [], {}
    moved, by_sample = layer_module.convolve_moved_input, MotionPredictor._by_sample
    monkeypatch.setattr(layer_module, "convolve_moved_input", lambda *given: taken.append("input") or moved(*given))
    monkeypatch.setattr(MotionPredictor, "_by_sample", lambda *given: taken.append("sample") or by_sample(*given))
    ways = {"CrossDResNet-18": {"input", "sample"}, "kernels everywhere": {"sample"}, "whole maps": {"input"}}
    for name in KINDS["width"]:
        taken.clear()
        answers[name] = build("width", name, (1, 8, 3)).eval()(x)
        assert set(taken) == ways[name]
    first, *others = answers.values()
    for other in others:
        torch.testing.assert_close(other, first, atol=1e-4, rtol=1e-4)


def test_an_unknown_contestant():
    with pytest.raises(CrossDError, match=r"contestants of 'layer' are Conv2d, .*; got 'Conv4d'"):
        build("layer", "Conv4d", (1, 1, 3))
    with pytest.raises(CrossDError, match=r"contestants of 'block' are none"):
        build("block", "Conv2d", (1, 1, 3))
