"""Motion on the input's side gives what moved kernels give, gradients included, for any motion and any axes."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDConv
from crossd.conv import on_input, windows
from crossd.conv.on_input import MotionOnInput
from crossd.conv.per_sample import convolve_per_sample
from crossd.conv.windows import windows_pay
from crossd.motion import motion_matrix, move_kernel

double = torch.float64


@pytest.mark.parametrize("kernel_size", [2, 3])
@pytest.mark.parametrize("geometry", [(1, 1, 1), (2, 1, 1), (2, 0, 2), (1, 2, 2)], ids=str)
@pytest.mark.parametrize(("spatial_dims", "motion"), [(2, "shift"), (2, "rotate"), (3, "shift"), (3, "rotate")])
@pytest.mark.parametrize("most", [1, 2**12, 2**24], ids=["one by one", "a rest", "all"])
def test_values_and_gradients_equal_the_plain_path(monkeypatch, most, spatial_dims, motion, geometry, kernel_size):
    monkeypatch.setattr(on_input, "BLOCK_BYTES", most)
    monkeypatch.setattr(on_input, "WINDOW_BYTES", 4 * most)
    stride, padding, dilation = ([value] * spatial_dims for value in geometry)
    x = torch.randn(3, 3, *(7, 8, 6)[:spatial_dims], dtype=double, requires_grad=True)
    weight = torch.randn(5, 3, *[kernel_size] * 3, dtype=double, requires_grad=True)
    v = (torch.randn(3, 3, dtype=double) * 0.3).requires_grad_()
    matrix = motion_matrix(v, kernel_size, motion, "slice" if spatial_dims == 2 else "volume")
    kernels = move_kernel(weight, matrix).unflatten(3, [kernel_size] * spatial_dims)
    expected = convolve_per_sample(x, kernels, stride, padding, dilation, 1)
    answer = MotionOnInput.apply(x, weight, matrix, stride, padding, dilation)
    torch.testing.assert_close(answer, expected)
    gradient = torch.randn_like(answer)
    torch.testing.assert_close(
        torch.autograd.grad(answer, (x, weight, v), gradient, retain_graph=True),
        torch.autograd.grad(expected, (x, weight, v), gradient),
    )


@pytest.mark.parametrize("wanted", ["x", "weight", "v", "x and v"])
def test_only_what_is_wanted_gets_a_gradient(wanted):
    values = {"x": torch.randn(2, 2, 4, 4, 4), "weight": torch.randn(3, 2, 3, 3, 3), "v": torch.randn(2, 3)}
    values = {name: value.double().requires_grad_(name in wanted.split(" and ")) for name, value in values.items()}
    inputs = [value for value in values.values() if value.requires_grad]

    def run(*_):
        matrix = motion_matrix(values["v"], 3, "shift", "volume")
        return MotionOnInput.apply(values["x"], values["weight"], matrix, (1, 1, 1), (1, 1, 1), (1, 1, 1))

    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize(("spatial_dims", "motion"), [(2, "rotate"), (3, "shift")])
def test_the_layer_takes_it_for_small_maps_and_answers_the_same(monkeypatch, spatial_dims, motion):
    layer = CrossDConv(spatial_dims, 192, 192, 3, padding=1, bias=False, motion=motion, alignment="dynamic").eval()
    layer.weight.requires_grad_(False)
    x = torch.randn(3, 192, *[3] * spatial_dims)
    assert windows_pay(x, layer.weight, layer.stride)
    calls = []
    real = MotionOnInput.apply
    monkeypatch.setattr(MotionOnInput, "apply", lambda *inputs: calls.append(1) or real(*inputs))
    answer = layer(x)
    assert calls
    answer.sum().backward()
    assert layer.weight.grad is None
    assert layer.predictor[3].weight.grad is not None
    monkeypatch.setattr(windows, "MAX_PIXELS", 0)
    torch.testing.assert_close(answer, layer(x), atol=1e-4, rtol=1e-4)
    assert len(calls) == 1
