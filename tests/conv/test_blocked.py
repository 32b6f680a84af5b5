"""Blocks of output channels give what all kernels at once give, gradients included."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDConv
from crossd.conv import blocked
from crossd.conv.blocked import BlockedConvolution, blocks_pay, gather, scatter
from crossd.conv.per_sample import convolve_per_sample
from crossd.motion import motion_matrix, move_kernel

double = torch.float64


@pytest.mark.parametrize("kernel_size", [2, 3])
@pytest.mark.parametrize("geometry", [(1, 1, 1), (2, 1, 1), (2, 0, 2), (1, 2, 2)], ids=str)
@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("channels", [1, 2, 32])
def test_values_and_gradients_equal_the_plain_path(monkeypatch, channels, spatial_dims, geometry, kernel_size):
    monkeypatch.setattr(blocked, "BLOCK_CHANNELS", channels)  # one, two with a remainder, all five
    stride, padding, dilation = ([value] * spatial_dims for value in geometry)
    x = torch.randn(2, 3, *(7, 8, 9)[:spatial_dims], dtype=double, requires_grad=True)
    weight = torch.randn(5, 3, *[kernel_size] * 3, dtype=double, requires_grad=True)
    v = (torch.randn(2, 3, dtype=double) * 0.3).requires_grad_()
    matrix = motion_matrix(v, kernel_size, "shift", "slice" if spatial_dims == 2 else "volume")
    kernels = move_kernel(weight, matrix).reshape(2, 5, 3, *[kernel_size] * spatial_dims)
    expected = convolve_per_sample(x, kernels, stride, padding, dilation, 1)
    answer = BlockedConvolution.apply(x, weight, matrix, stride, padding, dilation)
    torch.testing.assert_close(answer, expected)
    gradient = torch.randn_like(answer)
    torch.testing.assert_close(
        torch.autograd.grad(answer, (x, weight, v), gradient, retain_graph=True),
        torch.autograd.grad(expected, (x, weight, v), gradient),
    )


def test_scatter_is_the_adjoint_of_gather():
    x = torch.randn(2, 3, 7, 8, dtype=double)
    columns, _ = gather(x, 3, (2, 1), (1, 2), (1, 2))
    other = torch.randn_like(columns)
    back = scatter(other, x.shape, 3, (2, 1), (1, 2), (1, 2))
    torch.testing.assert_close((columns * other).sum(), (x * back).sum())


def test_a_frozen_weight_or_input_gets_no_gradient():
    layer = CrossDConv(2, 512, 512, 3, padding=1, alignment="dynamic").eval()
    layer.weight.requires_grad_(False)
    x = torch.randn(4, 512, 7, 7)
    assert blocks_pay(x, layer.weight, layer.stride)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert layer.predictor[3].weight.grad is not None


def test_the_layer_takes_blocks_for_small_maps_and_answers_the_same(monkeypatch):
    layer = CrossDConv(2, 512, 512, 3, padding=1, bias=False).eval()
    x = torch.randn(4, 512, 7, 7)
    with torch.no_grad():
        answer = layer(x)
        monkeypatch.setattr(blocked, "MIN_KERNEL_BYTES", 10**12)
        assert not blocks_pay(x, layer.weight, layer.stride)
        torch.testing.assert_close(answer, layer(x), atol=1e-5, rtol=1e-4)
    monkeypatch.undo()
    with torch.autocast("cpu", torch.bfloat16):
        assert not blocks_pay(x, layer.weight, layer.stride)
    assert not blocks_pay(x.to(torch.bfloat16), layer.weight, layer.stride)
    assert not blocks_pay(torch.randn(4, 512, 56, 56), layer.weight, layer.stride)
