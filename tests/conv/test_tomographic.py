"""Tomographic inflation: the depth projection is the 2D kernel, the others as near as sums of rows and columns let."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDConv, CrossDError, convert, embed_kernel, load_pretrained
from crossd.conv import inflate_kernel
from crossd.conv.inflation import projection_residual, tomographic_kernel
from scipy.optimize import minimize
from torch import nn


def kernel_of(size, seed=0):
    return torch.randn(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def misses(volume, kernel):
    return float((volume.sum(3) - kernel).square().sum() + (volume.sum(4) - kernel).square().sum())


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_the_depth_projection_is_the_kernel(size):
    kernel = kernel_of(size)
    torch.testing.assert_close(tomographic_kernel(kernel).sum(2), kernel, atol=1e-12, rtol=0)


@pytest.mark.parametrize("size", [3, 5])
def test_all_three_are_where_each_row_sums_to_what_its_column_does(size):
    kernel = kernel_of(size) + kernel_of(size).transpose(2, 3)
    volume = tomographic_kernel(kernel)
    for axis in (2, 3, 4):
        torch.testing.assert_close(volume.sum(axis), kernel, atol=1e-10, rtol=0)
    assert projection_residual(volume) < 1e-10


def test_otherwise_no_kernel_of_that_depth_projection_is_nearer():
    """The least misfit follows from the sums of rows and columns: each projection has to take up their difference."""
    kernel = kernel_of(3)[:1, :1]
    best = tomographic_kernel(kernel)

    def missed(free):
        change = torch.from_numpy(free).reshape(1, 1, 3, 3, 3)
        change = (change - change.mean(2, keepdim=True)).requires_grad_()
        loss = (((best + change).sum(3) - kernel) ** 2).sum() + (((best + change).sum(4) - kernel) ** 2).sum()
        loss.backward()
        gradient = change.grad - change.grad.mean(2, keepdim=True)
        return float(loss.detach()), gradient.flatten().numpy()

    start = torch.randn(27, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).numpy()
    found = minimize(missed, start, jac=True, method="BFGS")
    assert found.fun == pytest.approx(misses(best, kernel), abs=1e-8)
    difference = (kernel.sum(3) - kernel.sum(2)) / 3  # of rows and columns
    torch.testing.assert_close(best.sum(3), kernel, atol=1e-10, rtol=0)
    torch.testing.assert_close(best.sum(4), kernel + difference.unsqueeze(2), atol=1e-10, rtol=0)
    other = best + torch.from_numpy(found.x).reshape(1, 1, 3, 3, 3)  # as near, from another start
    other = other - other.mean(2, keepdim=True) + kernel.unsqueeze(2) / 3
    assert best.norm() <= other.norm() + 1e-9


def test_it_is_linear_and_keeps_the_dtype():
    one, other = kernel_of(3), kernel_of(3, 1)
    together = tomographic_kernel(2 * one - other)
    torch.testing.assert_close(together, 2 * tomographic_kernel(one) - tomographic_kernel(other))
    assert tomographic_kernel(one.float()).dtype == torch.float32


@pytest.mark.parametrize("motion", ["shift", "rotate"])
@pytest.mark.parametrize("alignment", ["raw", "rest"])
def test_a_2d_layer_gives_the_kernel_back_by_its_projection(motion, alignment):
    kernel = kernel_of(3).float()
    layer = CrossDConv(2, 3, 2, 3, alignment=alignment, motion=motion, view="projection", bias=False)
    with torch.no_grad():
        layer.weight.copy_(embed_kernel(kernel, alignment=alignment, motion=motion, fill="tomographic"))
    torch.testing.assert_close(layer.kernel(), kernel, atol=1e-5, rtol=0)


@torch.no_grad()
def test_2d_logits_stay_and_the_report_says_how_far_the_others_are():
    network = nn.Sequential(nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1))
    flat = convert(network, spatial_dims=2, view="projection", alignment="dynamic")
    report = load_pretrained(flat, network.state_dict(), fill="tomographic")
    x = torch.rand(2, 3, 20, 20)
    torch.testing.assert_close(flat(x), network(x), atol=1e-5, rtol=0)
    off = sorted(projection_residual(tomographic_kernel(network[layer].weight)) for layer in (0, 2))
    assert f"are off by {off[0]:.0%} to {off[1]:.0%} of its norm" in str(report)
    assert 0.05 < off[0] < off[1] < 1
    volume = convert(network, to="i3d", mode="tomographic")
    torch.testing.assert_close(volume[2].weight.sum(2), network[2].weight, atol=1e-6, rtol=0)


def test_bad_arguments():
    with pytest.raises(CrossDError, match=r"A tomographic kernel is a cube; got 3x3 to be 5 deep"):
        inflate_kernel(torch.ones(1, 1, 3, 3), "tomographic", depth=5)
    with pytest.raises(CrossDError, match=r"`fill` must be one of .*'tomographic'; got 'tomografic'"):
        embed_kernel(torch.ones(1, 1, 3, 3), fill="tomografic")
