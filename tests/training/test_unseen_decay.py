"""The decay of the unseen part in training: what it adds to the loss, what it leaves alone, and the overlay."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDConv, CrossDResNet
from crossd.checkpoints import read_checkpoint
from crossd.conv import unseen_penalty
from crossd.errors import CrossDError
from crossd.training.unseen_axes import UnseenDecay
from torch import nn

from ..configs import run

STEM = {"conv1_t_size": 3, "conv1_t_stride": 1, "no_max_pool": True}


def test_the_loss_is_that_of_the_predictions_and_the_decay():
    network = CrossDResNet(2, 1, 2, depth=10, width=4)
    loss = UnseenDecay(nn.CrossEntropyLoss(), network, factor=0.3)
    logits, labels = torch.randn(3, 2), torch.tensor([0, 1, 1])
    expected = nn.functional.cross_entropy(logits, labels) + 0.3 * unseen_penalty(network)
    torch.testing.assert_close(loss(logits, labels), expected)
    assert UnseenDecay(nn.CrossEntropyLoss(), network, factor=0)(logits, labels) == nn.CrossEntropyLoss()(
        logits, labels
    )


def test_the_network_is_not_part_of_the_loss():
    loss = UnseenDecay(nn.CrossEntropyLoss(), CrossDConv(2, 1, 2, 3), factor=0.1)
    assert list(loss.parameters()) == []
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
    with pytest.raises(CrossDError, match=r"Conv2d has none. Pass a network of Cross-D convolutions"):
        UnseenDecay(nn.CrossEntropyLoss(), nn.Conv2d(1, 1, 3), factor=0.1)
    with pytest.raises(CrossDError, match=r"a factor of 0 or more, got -1. Example: 0.1"):
        UnseenDecay(nn.CrossEntropyLoss(), CrossDConv(2, 1, 2, 3), factor=-1)


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
