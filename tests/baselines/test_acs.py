"""ACSConv: equal to three plain convolutions and to explicit loops, for every argument it accepts."""

from __future__ import annotations

import copy
import io
import itertools

import pytest
import torch
import torch.nn.functional as F
from crossd.baselines import ACSConv, acs_split
from crossd.errors import CrossDError
from torch import nn

# in, out, K, everything else: each row is one way the ACSConv package fails or could
CASES = {
    "plain": (3, 8, 3, {}),
    "padded": (3, 7, 3, {"padding": 1}),
    "strided": (2, 6, 3, {"stride": 2, "padding": 1}),
    "uneven": (2, 6, 3, {"stride": (1, 2, 3), "padding": (2, 0, 1), "dilation": (1, 2, 1)}),
    "more padding than kernel": (2, 6, 3, {"padding": 3}),
    "same": (2, 6, 3, {"padding": "same", "dilation": 2}),
    "same, even": (2, 6, 4, {"padding": "same"}),
    "valid": (2, 6, 3, {"padding": "valid"}),
    "even": (2, 6, 2, {"padding": 1}),
    "dilated without padding": (2, 6, 3, {"dilation": 2}),
    "half as many outputs as inputs": (4, 2, 3, {}),
    "depthwise": (6, 6, 3, {"groups": 6}),
    "depthwise, padded": (4, 4, 3, {"groups": 4, "padding": 1}),
    "groups across thirds": (4, 8, 3, {"groups": 2, "padding": 1}),
    "groups of five": (9, 15, 3, {"groups": 3}),
    "reflect": (2, 6, 3, {"padding": 1, "padding_mode": "reflect"}),
    "circular": (2, 6, 3, {"padding": (1, 2, 0), "padding_mode": "circular"}),
    "replicate, same": (2, 6, 3, {"padding": "same", "padding_mode": "replicate"}),
    "pointwise": (3, 8, 1, {"stride": 2}),
    "one output": (3, 1, 5, {"padding": 2}),
    "without bias": (3, 8, 7, {"padding": 3, "stride": 2, "bias": False}),
}


def _cubic(weight: torch.Tensor) -> torch.Tensor:
    """Written out: the first third lies in the plane of height and width, and so on."""
    out_channels, in_channels, size, _ = weight.shape
    thirds = [len(range(start, out_channels, 3)) for start in range(3)]
    cube = torch.zeros(out_channels, in_channels, size, size, size, dtype=weight.dtype)
    for out in range(out_channels):
        for a, b in itertools.product(range(size), repeat=2):
            if out < thirds[0]:
                cube[out, :, size // 2, a, b] = weight[out, :, a, b]
            elif out < thirds[0] + thirds[1]:
                cube[out, :, a, size // 2, b] = weight[out, :, a, b]
            else:
                cube[out, :, a, b, size // 2] = weight[out, :, a, b]
    return cube


@pytest.mark.parametrize("name", CASES)
def test_equals_one_conv3d_with_the_kernel_written_out(name: str) -> None:
    in_channels, out_channels, size, options = CASES[name]
    layer = ACSConv(in_channels, out_channels, size, **options).double()
    plain = nn.Conv3d(in_channels, out_channels, size, **options).double()
    with torch.no_grad():
        plain.weight.copy_(_cubic(layer.weight))
        if layer.bias is not None:
            plain.bias.copy_(layer.bias)
    x = torch.randn(2, in_channels, 9, 10, 11, dtype=torch.float64, requires_grad=True)
    y, expected = layer(x), plain(x)
    torch.testing.assert_close(y, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(layer.kernel(), plain.weight)
    grad = torch.randn_like(y)
    torch.testing.assert_close(
        torch.autograd.grad(y, x, grad)[0], torch.autograd.grad(expected, x, grad)[0], atol=1e-12, rtol=0
    )


def test_is_three_plain_convolutions() -> None:
    layer = ACSConv(2, 8, 3, padding=1)
    x = torch.randn(1, 2, 5, 6, 7)
    expected = torch.cat(
        [
            F.conv3d(x, layer.weight[:3].unsqueeze(2), layer.bias[:3], padding=(0, 1, 1)),
            F.conv3d(x, layer.weight[3:6].unsqueeze(3), layer.bias[3:6], padding=(1, 0, 1)),
            F.conv3d(x, layer.weight[6:].unsqueeze(4), layer.bias[6:], padding=(1, 1, 0)),
        ],
        1,
    )
    torch.testing.assert_close(layer(x), expected)


def test_six_loops() -> None:
    layer = ACSConv(1, 3, 3, bias=False)
    x = torch.randn(1, 1, 3, 4, 3)
    y = layer(x)
    kernel = layer.weight[:, 0]
    for d, h, w in itertools.product(range(1), range(2), range(1)):
        by_view = [0.0, 0.0, 0.0]
        for a, b in itertools.product(range(3), repeat=2):
            by_view[0] += (kernel[0, a, b] * x[0, 0, d + 1, h + a, w + b]).item()
            by_view[1] += (kernel[1, a, b] * x[0, 0, d + a, h + 1, w + b]).item()
            by_view[2] += (kernel[2, a, b] * x[0, 0, d + a, h + b, w + 1]).item()
        torch.testing.assert_close(y[0, :, d, h, w], torch.tensor(by_view))


@pytest.mark.parametrize(
    ("channels", "split"), [(64, (22, 21, 21)), (512, (171, 171, 170)), (6, (2, 2, 2)), (2, (1, 1, 0))]
)
def test_split_of_channels(channels: int, split: tuple[int, int, int]) -> None:
    assert acs_split(channels) == split


def test_2d_state_dict_loads_unchanged() -> None:
    plain = nn.Conv2d(3, 8, 3)
    layer = ACSConv(3, 8, 3)
    layer.load_state_dict(plain.state_dict())
    assert torch.equal(layer.weight, plain.weight)


def test_kernel_of_one_slice_sees_the_plane_of_a_volume_constant_along_the_other_axes() -> None:
    """On a volume constant along width, the coronal third is a 1D convolution with the kernel's row sums."""
    layer = ACSConv(1, 3, 3, bias=False)
    x = torch.randn(1, 1, 6, 1, 1).expand(1, 1, 6, 5, 5)
    expected = F.conv1d(x[:, :, :, 0, 0], layer.weight[1:2].sum(3))
    torch.testing.assert_close(layer(x)[:, 1:2, :, 1, 1], expected)


@pytest.mark.parametrize(
    "name",
    [
        "uneven",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("same, even", "circular", "groups across thirds")),
    ],
)
def test_copies_pickles_scripts_and_exports(name: str) -> None:
    in_channels, out_channels, size, options = CASES[name]
    layer = ACSConv(in_channels, out_channels, size, **options)
    x = torch.randn(2, in_channels, 8, 9, 10)
    expected = layer(x)
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer, weights_only=False)(x), expected)
    assert torch.equal(copy.deepcopy(layer)(x), expected)
    torch.testing.assert_close(torch.jit.script(layer)(x), expected)
    size_of = torch.export.Dim.AUTO
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: size_of, 2: size_of, 3: size_of, 4: size_of},))
    other = torch.randn(3, in_channels, 11, 12, 13)
    torch.testing.assert_close(program.module()(other), layer(other))


def test_mixed_precision_and_channels_last() -> None:
    layer = ACSConv(4, 6, 3, padding=1)
    x = torch.randn(2, 4, 6, 6, 6)
    torch.testing.assert_close(layer(x.to(memory_format=torch.channels_last_3d)), layer(x), atol=1e-5, rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            (3, 8, 3),
            {"groups": 2},
            r"`in_channels` \(=3\) and `out_channels` \(=8\) must be divisible by `groups` \(=2\)",
        ),
        ((3, 8, (3, 5)), {}, r"`kernel_size` of ACSConv must be the same along every axis.*got \(3, 5\).*Conv2_5d"),
        ((3, 8, 3), {"padding_mode": "mirror"}, "`padding_mode` must be one of 'zeros', 'reflect'.*got 'mirror'"),
        ((3, 8, 3), {"padding": "same", "stride": 2}, "padding='same' needs stride 1"),
        ((3, 8, 3), {"padding": (1, 1)}, "`padding` must be one integer or 3 of them"),
    ],
)
def test_refused_arguments(arguments: tuple, options: dict, message: str) -> None:
    with pytest.raises(CrossDError, match=message):
        ACSConv(*arguments, **options)


def test_refused_input() -> None:
    with pytest.raises(
        CrossDError, match=r"ACSConv expects \(batch, channel, depth, height, width\); got 4 axes.*unsqueeze"
    ):
        ACSConv(3, 8, 3)(torch.zeros(1, 3, 9, 9))
