"""I3D inflation and the 2.5D convolution: laws against the 2D convolution they come from."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from crossd.baselines import Conv2_5d
from crossd.conv import inflate_kernel
from crossd.errors import CrossDError
from torch import nn


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_mean_gives_the_2d_answer_on_volumes_constant_along_depth(size: int) -> None:
    kernel, image = torch.randn(4, 3, size, size), torch.randn(2, 3, 9, 9)
    volume = image.unsqueeze(2).expand(-1, -1, size + 2, -1, -1)
    y = F.conv3d(volume, inflate_kernel(kernel, "mean"))
    for depth in range(3):
        torch.testing.assert_close(y[:, :, depth], F.conv2d(image, kernel), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("depth", [1, 3, 7])
def test_centre_gives_the_2d_answer_on_every_slice(depth: int) -> None:
    kernel, volume = torch.randn(4, 3, 3, 3), torch.randn(2, 3, 6, 9, 9)
    y = F.conv3d(volume, inflate_kernel(kernel, "centre", depth), padding=(depth // 2, 0, 0))
    for index in range(6):
        torch.testing.assert_close(y[:, :, index], F.conv2d(volume[:, :, index], kernel), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", ["mean", "centre"])
def test_sum_over_depth_is_the_kernel(mode: str) -> None:
    kernel = torch.randn(2, 2, 3, 5)
    torch.testing.assert_close(inflate_kernel(kernel, mode, depth=4).sum(2), kernel)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 2, 3, 3), {"mode": "mode"}, "`mode` must be one of 'centre', 'mean', 'tomographic'; got 'mode'"),
        ((2, 2, 3), {}, r"Inflation takes a 2D kernel \(out, in, height, width\); got shape \(2, 2, 3\)"),
        ((2, 2, 3, 5), {}, "not square does not say how deep it becomes; got 3x5. Pass `depth`"),
    ],
)
def test_refused_inflation(shape: tuple[int, ...], options: dict, message: str) -> None:
    with pytest.raises(CrossDError, match=message):
        inflate_kernel(torch.zeros(shape), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": (3, 5), "padding": (1, 2), "dilation": (2, 1)},
        {"kernel_size": 3, "padding": "same", "padding_mode": "circular"},
        {"kernel_size": 3, "groups": 2, "bias": False},
    ],
)
def test_2_5d_is_the_2d_convolution_of_every_slice(options: dict) -> None:
    flat, layer = nn.Conv2d(4, 6, **options), Conv2_5d(4, 6, **options)
    layer.load_state_dict({k: v.unsqueeze(2) if v.dim() == 4 else v for k, v in flat.state_dict().items()})
    volume = torch.randn(2, 4, 3, 9, 10)
    y = layer(volume)
    for index in range(3):
        torch.testing.assert_close(y[:, :, index], flat(volume[:, :, index]), atol=1e-5, rtol=1e-5)


def test_2_5d_strides_along_depth_as_pooling_does() -> None:
    volume = torch.randn(1, 2, 7, 8, 8)
    assert Conv2_5d(2, 3, 3, stride=2, padding=1)(volume).shape[2:] == nn.MaxPool3d(3, 2, 1)(volume).shape[2:]


def test_2_5d_copies_pickles_and_scripts() -> None:
    layer, x = Conv2_5d(2, 3, 3), torch.randn(1, 2, 4, 5, 6)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), torch.jit.script(layer)):
        assert torch.equal(other(x), layer(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": (1, 2)}, r"`stride` must be one integer or \(depth, height, width\); got \(1, 2\)"),
        ({"padding": (0, 1, 1)}, r"`padding` of Conv2_5d must be one integer or \(height, width\)"),
        ({"padding": "same", "stride": 2}, "padding='same' needs stride 1"),
    ],
)
def test_2_5d_refused_arguments(options: dict, message: str) -> None:
    with pytest.raises(CrossDError, match=message):
        Conv2_5d(2, 3, 3, **options)
