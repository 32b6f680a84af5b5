"""The parts that are timed alone are those of the layer: together they give its answer, as each way does by itself."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDConv
from crossd.conv.per_sample import convolve_per_sample

from scripts.benchmarks.speed.parts import PARTS
from scripts.benchmarks.speed.ways import WAYS


@pytest.mark.parametrize(("channels", "width"), [(8, 12), (192, 5)], ids=["whole kernels", "windows"])
def test_the_parts_are_the_layers(channels, width):
    layer = CrossDConv(2, channels, channels, 3, padding=1, bias=False).eval()
    x = torch.randn(2, channels, width, width)
    parts = {name: part(layer) for name, part in PARTS.items()}
    assert parts["products"].by_windows(x) == (channels == 192)
    with torch.no_grad():
        answers = {name: part(x) for name, part in parts.items()}
        motion = parts["products"].motion(x)
        kernels = layer.kernel(motion)
        expected = convolve_per_sample(x, kernels, (1, 1), (1, 1), (1, 1), 1)
        torch.testing.assert_close(answers["predictor"], layer.predictor(x))
    torch.testing.assert_close(answers["products"].reshape(expected.shape), expected, atol=1e-4, rtol=1e-4)
    if channels == 192:  # kernels not yet moved in the plane, times windows that are
        assert answers["windows"].shape == (2, width * width, 9 * channels)
        made = answers["kernels"].reshape(2, -1, 9 * channels)  # of the last block of output channels
        last = torch.stack([k @ w.t() for k, w in zip(made, answers["windows"], strict=True)])
        torch.testing.assert_close(last, expected.flatten(2)[:, -made.shape[1] :], atol=1e-4, rtol=1e-4)
    else:
        torch.testing.assert_close(answers["kernels"].reshape(kernels.shape), kernels)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("channels", [8, 192])
def test_every_way_gives_the_same(way, channels):
    layer = CrossDConv(2, channels, channels, 3, stride=2, padding=1, bias=False)
    x = torch.randn(2, channels, 6, 5, requires_grad=True)
    part = WAYS[way](layer)
    expected = convolve_per_sample(x, layer.kernel(part.motion(x)), (2, 2), (1, 1), (1, 1), 1)
    answer = part(x)
    torch.testing.assert_close(answer, expected, atol=1e-4, rtol=1e-4)
    gradients = [torch.autograd.grad(y.square().sum(), [x, layer.weight]) for y in (answer, expected)]
    torch.testing.assert_close(*gradients, atol=1e-2, rtol=1e-3)
