"""Kernels made in blocks, their motion split between depth and plane, give what all kernels at once give."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDConv
from crossd.conv import products, separable, windows
from crossd.conv.per_sample import convolve_per_sample
from crossd.conv.products import plain_cpu, times_transposed
from crossd.conv.separable import SeparableConvolution
from crossd.conv.windows import gather, scatter, windows_pay
from crossd.motion import move_kernel, shift_factors, shift_matrix, translation

double = torch.float64


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("geometry", [((1, 1), (1, 1), (1, 1)), ((2, 1), (0, 1), (1, 2))], ids=str)
@pytest.mark.parametrize("rows", ["slice", "projection"])
@pytest.mark.parametrize("channels", [1, 2, 32])
def test_values_and_gradients_equal_the_plain_path(monkeypatch, channels, rows, geometry, kernel_size):
    monkeypatch.setattr(separable, "BLOCK_BYTES", channels * kernel_size**2 * 3 * 8)  # one, two and a rest, all five
    monkeypatch.setattr(separable, "BATCH", 2)
    x = torch.randn(3, 3, 9, 11, dtype=double, requires_grad=True)
    weight = torch.randn(5, 3, *[kernel_size] * 3, dtype=double, requires_grad=True)
    v = (torch.randn(3, 3, dtype=double) * 0.3).requires_grad_()
    kernels = move_kernel(weight, shift_matrix(translation(v), kernel_size, rows))
    expected = convolve_per_sample(x, kernels.unflatten(3, [kernel_size] * 2), *geometry, 1)
    answer = SeparableConvolution.apply(x, weight, *shift_factors(translation(v), kernel_size, rows), *geometry)
    torch.testing.assert_close(answer, expected)
    gradient = torch.randn_like(answer)
    torch.testing.assert_close(
        torch.autograd.grad(answer, (x, weight, v), gradient, retain_graph=True),
        torch.autograd.grad(expected, (x, weight, v), gradient),
    )


@pytest.mark.parametrize("wanted", ["x", "weight", "v", "x and v"])
def test_only_what_is_wanted_gets_a_gradient(wanted):
    values = {"x": torch.randn(2, 3, 5, 5), "weight": torch.randn(4, 3, 3, 3, 3), "v": torch.randn(2, 3)}
    values = {name: value.double().requires_grad_(name in wanted.split(" and ")) for name, value in values.items()}
    inputs = [value for value in values.values() if value.requires_grad]

    def run(*_):
        factors = shift_factors(translation(values["v"]), 3, "slice")
        return SeparableConvolution.apply(values["x"], values["weight"], *factors, (1, 1), (1, 1), (1, 1))

    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


def test_scatter_is_the_adjoint_of_gather():
    x = torch.randn(2, 3, 7, 8, dtype=double)
    seen, _ = gather(x, 3, (2, 1), (1, 2), (1, 2))
    other = torch.randn_like(seen)
    back = scatter(other, x.shape, 3, (2, 1), (1, 2), (1, 2))
    torch.testing.assert_close((seen * other).sum(), (x * back).sum())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("view", ["slice", "projection"])
def test_the_layer_takes_blocks_for_small_maps_and_answers_the_same(monkeypatch, view, memory_format):
    layer = CrossDConv(2, 192, 200, 3, padding=1, stride=2, view=view).train()
    x = torch.randn(5, 192, 9, 8).to(memory_format=memory_format)
    calls = []
    real = SeparableConvolution.apply
    monkeypatch.setattr(SeparableConvolution, "apply", lambda *inputs: calls.append(1) or real(*inputs))
    answer = layer(x)
    assert calls
    monkeypatch.setattr(windows, "MAX_PIXELS", 0)
    torch.testing.assert_close(answer, layer(x), atol=1e-4, rtol=1e-4)
    assert len(calls) == 1


def test_where_windows_pay():
    x, weight = torch.randn(2, 256, 14, 14), torch.randn(256, 256, 3, 3, 3)
    assert windows_pay(x, weight, (1, 1))
    assert windows_pay(torch.randn(2, 256, 28, 28), weight, (2, 2))
    assert not windows_pay(torch.randn(2, 256, 28, 28), weight, (1, 1))
    assert not windows_pay(x[:, :128], weight[:, :128], (1, 1))
    assert not windows_pay(x.bfloat16(), weight, (1, 1))


def test_products_with_and_without_onednn(monkeypatch):
    left, right = torch.randn(5, 7), torch.randn(7, 6)
    with_onednn = times_transposed(left, right.t())
    torch.testing.assert_close(with_onednn, left @ right)
    with torch.backends.mkldnn.flags(enabled=False):
        torch.testing.assert_close(times_transposed(left, right.t()), with_onednn)
    monkeypatch.setattr(products, "_has_onednn", lambda: False)
    torch.testing.assert_close(times_transposed(left, right.t()), with_onednn)


def test_what_is_not_plain_keeps_the_plain_path():
    x = torch.zeros(2)
    assert plain_cpu(x, x)
    assert not plain_cpu(x, x.double())
    assert not torch.func.vmap(lambda row: torch.tensor(plain_cpu(row, x)), out_dims=None)(x[None])
    with torch.autocast("cpu", torch.bfloat16):
        assert not plain_cpu(x, x)
    with torch.autograd.forward_ad.dual_level():
        assert not plain_cpu(x, x)
