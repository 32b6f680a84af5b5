"""Maps made in pieces give what whole maps give: values, gradients, gradients of gradients, running statistics."""

from __future__ import annotations

import copy

import pytest
import torch
from crossd.conv import pooling
from crossd.conv.pooling import PooledMaps, centre_and_spread, pieces_pay, pooled_maps
from crossd.conv.predictor import MotionPredictor
from monai.data import MetaTensor

double = torch.float64


def predictor(training: bool) -> MotionPredictor:
    made = MotionPredictor(3).to(double).train(training)
    for name, parameter in made.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if name == "1.weight" else 0.0)
    made[1].running_mean.normal_()
    made[1].running_var.uniform_(0.5, 2)
    return made


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("piece", [16, 30, 7], ids=["a rest", "no rest", "small"])
def test_values_gradients_and_statistics(monkeypatch, piece, training):
    whole, parts = predictor(training), None
    parts = copy.deepcopy(whole)
    x = torch.randn(2, 3, 6, 10, dtype=double, requires_grad=True)
    expected = whole(x)
    monkeypatch.setattr(pooling, "PIECE", piece)
    assert pieces_pay(x.flatten(2), parts[0].weight)
    answer = parts(x)
    torch.testing.assert_close(answer, expected)
    torch.testing.assert_close(parts.state_dict(), whole.state_dict())
    gradient = torch.randn_like(answer)
    torch.testing.assert_close(
        torch.autograd.grad(answer, (x, *parts.parameters()), gradient),
        torch.autograd.grad(expected, (x, *whole.parameters()), gradient),
    )


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_gradients(monkeypatch, training):
    monkeypatch.setattr(pooling, "PIECE", 16)
    made = predictor(training)
    x = torch.randn(1, 3, 20, dtype=double, requires_grad=True)
    assert torch.autograd.gradcheck(made, x)
    assert torch.autograd.gradgradcheck(made, x)


def test_only_what_is_wanted(monkeypatch):
    monkeypatch.setattr(pooling, "PIECE", 16)
    made = predictor(True)
    x = torch.randn(2, 3, 20, dtype=double)
    made(x).sum().backward()
    assert x.grad is None
    assert made[0].weight.grad.abs().sum() > 0


def test_monai_s_tensors_are_tensors(monkeypatch):
    """Volumes as MONAI's transforms give them, without batching: their `new_empty` takes the size as one argument."""
    monkeypatch.setattr(pooling, "pieces_pay", lambda *arguments: True)
    monkeypatch.setattr("crossd.conv.predictor.pieces_pay", lambda *arguments: True)
    predictor, volume = MotionPredictor(2).eval(), torch.randn(3, 2, 5, 6, 7)
    torch.testing.assert_close(
        torch.as_tensor(predictor(MetaTensor(volume))).as_subclass(torch.Tensor), predictor(volume)
    )


def test_a_mean_far_from_zero_costs_no_digits():
    x = torch.randn(2, 3, 4000) + 1000
    _, spread = centre_and_spread(x)
    _, exact = centre_and_spread(x.double())
    torch.testing.assert_close(spread.double(), exact, rtol=1e-4, atol=1)


def test_where_pieces_pay():
    weight, image = torch.randn(16, 3), torch.randn(1, 3, 224 * 224)
    assert pieces_pay(image, weight)
    assert not pieces_pay(image[:, :, :100], weight)
    assert not pieces_pay(torch.randn(1, 64, 56 * 56), weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert not pieces_pay(image, weight)
    assert not torch.func.vmap(lambda x: torch.tensor(pieces_pay(x, weight)), out_dims=None)(image[None])


def test_the_reference_is_the_sum_weighted_by_softmax():
    x, one = torch.randn(2, 1, 5), torch.ones(1)
    y = pooled_maps(x, one[:, None], one * 0, one, one * 0, one[:, None], one * 0, one * 0, one, 0.0)
    expected = (x.relu() * x.relu().softmax(2)).sum(2)
    torch.testing.assert_close(y, expected)
    y = PooledMaps.apply(x, one[:, None], one * 0, one, one * 0, one[:, None], one * 0, one * 0, one, None, None, 0.0)
    torch.testing.assert_close(y, expected)
