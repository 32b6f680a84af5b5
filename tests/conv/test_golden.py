"""The layer equals the official implementation's numbers (see tests/golden/README.md) to 1e-10, gradients included."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from crossd import CrossDConv

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "crossd_conv_cases.npz")
CASES = {case["name"]: case for case in json.loads(str(GOLDEN["cases"]))}


def tensor(key: str) -> torch.Tensor:
    return torch.from_numpy(np.array(GOLDEN[key]))


def ours(name: str) -> str:
    return name.replace("weights_3d", "weight").replace("rotation_params", "predictor")


def official_layer(name: str, spatial_dims: int = 2) -> CrossDConv:
    case = CASES[name]
    layer = CrossDConv(
        spatial_dims,
        case["ci"],
        case["co"],
        case["k"],
        case["stride"],
        case["padding"],
        groups=case["groups"],
        bias=False,
        alignment="dynamic",
        dtype=torch.float64,
    )
    prefix = f"{name}/state/"
    state = {ours(key[len(prefix) :]): tensor(key) for key in GOLDEN.files if key.startswith(prefix)}
    state = {
        key: value[..., 0, 0] if key.startswith("predictor") and value.dim() == 4 else value
        for key, value in state.items()
    }
    if case["k"] == 1:  # a pointwise kernel cannot move; the official predictor has zero gradient there
        state = {"weight": state["weight"]}
    missing, unexpected = layer.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= {"running_motion"}
    return layer


def assert_equal(answer: torch.Tensor, key: str) -> None:
    torch.testing.assert_close(answer, tensor(key).reshape(answer.shape), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_evaluation(name):
    layer = official_layer(name).eval()
    x = tensor(f"{name}/x")
    assert_equal(layer(x), f"{name}/y")
    if CASES[name]["k"] > 1:
        v = tensor(f"{name}/axis") * tensor(f"{name}/angle")
        torch.testing.assert_close(layer.predictor(x), v, atol=1e-10, rtol=0)
        assert_equal(official_layer(name, spatial_dims=3).kernel(v), f"{name}/rotated_weights")


@pytest.mark.parametrize("name", CASES)
def test_training_and_gradients(name):
    layer = official_layer(name).train()
    x = tensor(f"{name}/x").requires_grad_()
    y = layer(x)
    assert_equal(y, f"{name}/train_y")
    y.backward(tensor(f"{name}/train_grad_y"))
    assert_equal(x.grad, f"{name}/train_grad_x")
    prefix = f"{name}/train_grad/"
    gradients = {ours(key[len(prefix) :]): key for key in GOLDEN.files if key.startswith(prefix)}
    for key, parameter in layer.named_parameters():
        assert_equal(parameter.grad, gradients.pop(key))
    assert all(not tensor(key).any() for key in gradients.values())  # what we do not store has no gradient there
