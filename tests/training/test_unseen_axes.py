"""The parts of kernels that axial images do not see: random through-plane axes, and the decay of what is unseen."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDConv, CrossDResNet
from crossd.checkpoints import read_checkpoint
from crossd.conv import unseen_penalty
from crossd.errors import CrossDError
from crossd.training.unseen_axes import RandomThroughPlane, UnseenDecay
from ignite.engine import Engine, Events
from torch import nn

from ..configs import run

STEM = {"conv1_t_size": 3, "conv1_t_stride": 1, "no_max_pool": True}


def axes_of(network: nn.Module) -> set[int]:
    return {module.through_plane for module in network.modules() if isinstance(module, CrossDConv)}


def axes_seen(network: nn.Module, epochs: int, seed: int = 0, skip: int = 0) -> tuple[list[int], list[set[int]]]:
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
    during, between = axes_seen(network, 6)
    assert [during.count(axis) for axis in (0, 1, 2)] == [10, 10, 10]
    assert between == [{0}] * 6


def test_a_resumed_run_goes_on_with_the_same_axes():
    network = CrossDResNet(2, 1, 2, depth=10, width=4)
    whole, _ = axes_seen(network, 6)
    assert axes_seen(network, 6, skip=4)[0] == whole[20:]
    assert axes_seen(network, 6, seed=1)[0] != whole


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


def test_the_loss_is_that_of_the_predictions_and_the_decay():
    network = CrossDResNet(2, 1, 2, depth=10, width=4)
    loss = UnseenDecay(nn.CrossEntropyLoss(), network, factor=0.3)
    logits, labels = torch.randn(3, 2), torch.tensor([0, 1, 1])
    expected = nn.functional.cross_entropy(logits, labels) + 0.3 * unseen_penalty(network)
    torch.testing.assert_close(loss(logits, labels), expected)
    assert UnseenDecay(nn.CrossEntropyLoss(), network, factor=0)(logits, labels) == nn.CrossEntropyLoss()(
        logits, labels
    )
    assert list(loss.parameters()) == []  # the network is no part of it
    assert loss.state_dict() == {}


@pytest.mark.parametrize("view", ["slice", "projection"])
def test_at_rest_only_the_unseen_part_shrinks(view):
    layer = CrossDConv(2, 1, 2, 3, alignment="rest", motion="rotate", view=view)
    seen, unseen = layer.kernel().detach(), unseen_penalty(layer).detach()
    nothing = nn.Module()
    nothing.forward = lambda predictions, labels: predictions.sum() * 0
    loss = UnseenDecay(nothing, layer, factor=0.5)
    optimizer = torch.optim.SGD([layer.weight], lr=1.0)
    loss(layer(torch.zeros(1, 1, 5, 5)), torch.zeros(1)).backward()
    optimizer.step()
    torch.testing.assert_close(layer.kernel().detach(), seen)
    torch.testing.assert_close(unseen_penalty(layer).detach(), unseen / 4)  # (1 − 0.5)²


def test_what_has_no_unseen_part_and_growth_are_refused():
    with pytest.raises(CrossDError, match=r"Conv2d has none. Leave configs/random_axes_2d.json out"):
        RandomThroughPlane(nn.Conv2d(1, 1, 3))
    with pytest.raises(CrossDError, match=r"Conv2d has none. Pass a network of Cross-D convolutions"):
        UnseenDecay(nn.CrossEntropyLoss(), nn.Conv2d(1, 1, 3), factor=0.1)
    with pytest.raises(CrossDError, match=r"a factor of 0 or more, got -1. Example: 0.1"):
        UnseenDecay(nn.CrossEntropyLoss(), CrossDConv(2, 1, 2, 3), factor=-1)


@pytest.mark.slow
def test_the_overlay_takes_part_in_pre_training(root, images, small, tmp_path):
    options = {"motion": "rotate", "view": "projection", "alignment": "rest", **STEM}

    def left(name, **settings):
        files = ["pretrain_2d", *(["unseen_decay_2d"] if settings else [])]
        given = {"images": images, "output_dir": tmp_path / name, "network_options": options, "weight_decay": 0.0}
        run(*files, **small, **given, epochs=3, **settings)
        network = CrossDResNet(2, 1, 2, depth=10, width=4, **options)
        network.load_state_dict(read_checkpoint(tmp_path / name / "model.pt")["model"])
        return float(unseen_penalty(network).detach())

    assert left("decayed", unseen_decay=1.0) < 0.9 * left("kept")
    with pytest.raises(RuntimeError) as other:
        left("decayed", unseen_decay=0.5)
    assert "unseen_decay was 1.0 and is 0.5" in str(other.value.__cause__)
