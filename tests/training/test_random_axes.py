"""Random through-plane axes in training: one axis a step for all layers, axial in between, the same when resumed."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDConv, CrossDResNet
from crossd.errors import CrossDError
from crossd.training.unseen_axes import RandomThroughPlane
from ignite.engine import Engine, Events
from torch import nn


def axes_of(network: nn.Module) -> set[int]:
    return {module.through_plane for module in network.modules() if isinstance(module, CrossDConv)}


def run(network: nn.Module, epochs: int, seed: int = 0, skip: int = 0) -> tuple[list[int], list[set[int]]]:
    """The axes of each step from `skip` epochs on, and those between steps."""
    during, between = [], []

    def step(engine, batch):
        (axis,) = axes_of(network)
        during.append(axis)

    engine = Engine(step)
    RandomThroughPlane(network, seed).attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: between.append(axes_of(network)))
    if skip:
        engine.load_state_dict({"epoch": skip, "epoch_length": 5, "max_epochs": epochs})
    engine.run([0] * 5, max_epochs=epochs, epoch_length=5)
    return during, between


def test_every_axis_comes_once_in_three_steps_and_validation_is_axial():
    network = CrossDResNet(2, 1, 2, depth=10, width=4)
    during, between = run(network, 6)
    assert [during.count(axis) for axis in (0, 1, 2)] == [10, 10, 10]
    assert between == [{0}] * 6


def test_a_resumed_run_goes_on_with_the_same_axes():
    network = CrossDResNet(2, 1, 2, depth=10, width=4)
    whole, _ = run(network, 6)
    assert run(network, 6, skip=4)[0] == whole[20:]
    assert run(network, 6, seed=1)[0] != whole


def test_training_reaches_all_axes_of_a_kernel():
    layer = CrossDConv(2, 1, 2, 3, alignment="rest", motion="rotate", padding=1)
    before = layer.weight.detach().clone()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)

    def step(engine, batch):
        optimizer.zero_grad()
        layer(batch).square().mean().backward()
        optimizer.step()

    engine = Engine(step)
    RandomThroughPlane(layer).attach(engine)
    engine.run([torch.randn(2, 1, 9, 9)] * 3, max_epochs=1)
    moved = (layer.weight.detach() - before).abs().sum((0, 1)) > 1e-5
    index = torch.stack(torch.meshgrid(*[torch.arange(3)] * 3, indexing="ij"))
    assert torch.equal(moved, (index == 1).any(0))  # the three middle planes, and not the eight corners


def test_plain_networks_are_refused():
    with pytest.raises(CrossDError, match=r"Conv2d has none. Leave configs/random_axes_2d.json out"):
        RandomThroughPlane(nn.Conv2d(1, 1, 3))
