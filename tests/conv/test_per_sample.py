"""A convolution for each sample, against loops; and the input moved instead of the kernels gives the same."""

from __future__ import annotations

import itertools

import pytest
import torch
from crossd import CrossDConv
from crossd.conv import layer as module
from crossd.conv.per_sample import convolve_moved_input, convolve_per_sample, pixels_out
from crossd.motion import motion_matrix, move_kernel

double = torch.float64


def test_convolution_against_six_loops():
    x, kernels = torch.randn(2, 2, 5, 4, dtype=double), torch.randn(2, 3, 2, 3, 3, dtype=double)
    expected = torch.zeros(2, 3, 3, 2, dtype=double)
    for b, o, i, j in itertools.product(range(2), range(3), range(3), range(2)):
        for c, p, q in itertools.product(range(2), range(3), range(3)):
            expected[b, o, i, j] += kernels[b, o, c, p, q] * x[b, c, i + p, j + q]
    torch.testing.assert_close(convolve_per_sample(x, kernels, [1, 1], [0, 0], [1, 1], 1), expected)


@pytest.mark.parametrize("kernel_size", [2, 3])
@pytest.mark.parametrize("geometry", [(1, 1, 1), (2, 1, 1), (2, 0, 2), (1, 2, 2)], ids=str)
@pytest.mark.parametrize(("spatial_dims", "motion"), [(2, "shift"), (2, "rotate"), (3, "shift"), (3, "rotate")])
def test_moving_the_input_is_moving_the_kernels(spatial_dims, motion, geometry, kernel_size):
    stride, padding, dilation = ([value] * spatial_dims for value in geometry)
    x = torch.randn(3, 3, *(7, 8, 6)[:spatial_dims], dtype=double, requires_grad=True)
    weight = torch.randn(5, 3, *[kernel_size] * 3, dtype=double, requires_grad=True)
    v = (torch.randn(3, 3, dtype=double) * 0.3).requires_grad_()
    matrix = motion_matrix(v, kernel_size, motion, "slice" if spatial_dims == 2 else "volume")
    kernels = move_kernel(weight, matrix).unflatten(3, [kernel_size] * spatial_dims)
    expected = convolve_per_sample(x, kernels, stride, padding, dilation, 1)
    answer = convolve_moved_input(x, weight, matrix, stride, padding, dilation)
    torch.testing.assert_close(answer, expected)
    assert pixels_out(x, kernel_size, stride, padding, dilation) == expected[0, 0].numel()
    gradient = torch.randn_like(answer)
    torch.testing.assert_close(
        torch.autograd.grad(answer, (x, weight, v), gradient, retain_graph=True),
        torch.autograd.grad(expected, (x, weight, v), gradient),
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("view", ["slice", "projection"])
def test_the_layer_answers_the_same_by_both(monkeypatch, view, axis):
    layer = CrossDConv(2, 3, 4, 3, padding=1, stride=2, view=view, padding_mode="circular", dtype=double).eval()
    layer.through_plane = axis
    found = {}
    for few in (49, 0):
        calls = []
        monkeypatch.setattr(CrossDConv, "few_pixels", few)
        monkeypatch.setattr(
            module, "convolve_moved_input", lambda *given, calls=calls: calls.append(1) or convolve_moved_input(*given)
        )
        layer.zero_grad()
        x = torch.randn(2, 3, 13, 14, dtype=double, generator=torch.Generator().manual_seed(1), requires_grad=True)
        y = layer(x)
        y.square().sum().backward()
        assert bool(calls) == (few == 49)  # 7 · 7 pixels
        found[few] = [y.detach(), x.grad, *(parameter.grad.clone() for parameter in layer.parameters())]
    torch.testing.assert_close(found[49], found[0])
    layer(torch.randn(2, 3, 15, 14, dtype=double))
    assert not calls


def test_groups_keep_their_kernels():
    layer = CrossDConv(2, 4, 6, 3, padding=1, groups=2, dtype=double).eval()
    x = torch.randn(3, 4, 3, 3, dtype=double)
    kernels = layer.kernel(layer.predictor(x))
    expected = convolve_per_sample(x, kernels, [1, 1], [1, 1], [1, 1], 2)
    torch.testing.assert_close(layer(x), expected + layer.bias[:, None, None])
