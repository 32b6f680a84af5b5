"""Maps made sample by sample give what whole maps give: values, gradients, their gradients, running statistics."""

from __future__ import annotations

import copy

import pytest
import torch
from crossd.conv import predictor as module
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
def test_values_gradients_and_statistics(monkeypatch, training):
    whole = predictor(training)
    single = copy.deepcopy(whole)
    x = torch.randn(2, 3, 6, 10, dtype=double, requires_grad=True)
    expected = whole(x)
    monkeypatch.setattr(module, "MANY_POSITIONS", 16)
    assert single._larger_than_input(x.flatten(2))
    answer = single(x)
    torch.testing.assert_close(answer, expected)
    torch.testing.assert_close(single.state_dict(), whole.state_dict())
    gradient = torch.randn_like(answer)
    torch.testing.assert_close(
        torch.autograd.grad(answer, (x, *single.parameters()), gradient),
        torch.autograd.grad(expected, (x, *whole.parameters()), gradient),
    )


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_gradients(monkeypatch, training):
    monkeypatch.setattr(module, "MANY_POSITIONS", 16)
    made = predictor(training)
    x = torch.randn(1, 3, 20, dtype=double, requires_grad=True)
    assert torch.autograd.gradcheck(made, x)
    assert torch.autograd.gradgradcheck(made, x)


def test_monai_s_tensors_are_tensors(monkeypatch):
    monkeypatch.setattr(module, "MANY_POSITIONS", 16)
    made, volume = MotionPredictor(2).eval(), torch.randn(3, 2, 5, 6, 7)
    torch.testing.assert_close(torch.as_tensor(made(MetaTensor(volume))).as_subclass(torch.Tensor), made(volume))


def test_a_mean_far_from_zero_costs_no_digits(monkeypatch):
    monkeypatch.setattr(module, "MANY_POSITIONS", 16)
    x, made = torch.randn(2, 3, 4000) + 1000, MotionPredictor(3)
    exact = copy.deepcopy(made).double()
    torch.testing.assert_close(made(x).double(), exact(x.double()), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(made[1].running_var.double(), exact[1].running_var, atol=0, rtol=1e-3)


def test_only_large_maps_of_few_channels_go_sample_by_sample():
    made, image = MotionPredictor(3), torch.randn(1, 3, 224 * 224)
    assert made._larger_than_input(image)
    assert not made._larger_than_input(image[:, :, :100])
    assert not made._larger_than_input(image.double())
    assert not MotionPredictor(64)._larger_than_input(torch.randn(1, 64, 10000))
    with torch.autocast("cpu", torch.bfloat16):
        assert not made._larger_than_input(image)
    assert not torch.nn.SyncBatchNorm.convert_sync_batchnorm(made)._larger_than_input(image)
