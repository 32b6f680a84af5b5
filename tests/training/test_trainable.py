"""The law: a step changes what is trainable, and not one bit of anything else."""

from __future__ import annotations

import copy

import pytest
import torch
from crossd.errors import CrossDError
from crossd.networks import CrossDResNet
from crossd.training import set_trainable


def step(mode, alignment=None):
    torch.manual_seed(0)
    network = CrossDResNet(3, 1, 2, depth=10, width=4, alignment=alignment)
    network = copy.deepcopy(set_trainable(network, mode))  # hooks survive copying
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.5)
    network.train()  # what MONAI's trainer does in every iteration
    torch.nn.functional.cross_entropy(network(torch.randn(4, 1, 16, 16, 16)), torch.tensor([0, 1, 0, 1])).backward()
    optimizer.step()
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def test_head_leaves_every_parameter_and_statistic_of_the_backbone():
    assert step("head") == {"fc.weight", "fc.bias"}


def test_head_leaves_the_predictors_statistics():
    assert step("head", alignment="dynamic") == {"fc.weight", "fc.bias"}


def test_norms_changes_norms_and_head_only():
    changed = step("norms")
    assert {"fc.weight", "bn1.weight", "layer4.0.bn2.bias", "layer1.0.bn1.running_mean"} <= changed
    assert all(name.startswith("fc.") or "bn" in name or "downsample.1" in name for name in changed)


def test_all_changes_the_kernels_too():
    assert {"conv1.weight", "layer3.0.conv1.weight", "bn1.weight", "fc.weight"} <= step("all")


@pytest.mark.parametrize("mode", ["head", "norms", "all"])
def test_what_needed_no_gradient_gets_none(mode):
    network = CrossDResNet(3, 1, 2, depth=10, width=4)
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen  # the predictors of 3D layers
    set_trainable(network, mode)
    assert frozen <= {name for name, parameter in network.named_parameters() if not parameter.requires_grad}


def test_unknown_mode_and_head():
    network = CrossDResNet(3, 1, 2, depth=10, width=4)
    with pytest.raises(CrossDError, match=r"one of head, norms, all, got 'backbone'\. Example: --trainable norms"):
        set_trainable(network, "backbone")
    with pytest.raises(
        CrossDError, match=r"head must be a layer of the network, got 'classifier'; its layers are .*'fc'\]"
    ):
        set_trainable(network, "head", head="classifier")
