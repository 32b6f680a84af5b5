"""Our variants differ from the method they vary in what their name says."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDResNet
from crossd.checkpoints import save_checkpoint
from crossd.conv import unseen_penalty

from scripts.benchmarks.transfer import METHODS, build_network

from .conftest import NARROW, card

ROTATE = {"motion": "rotate", "view": "projection"}


@pytest.fixture
def path(tmp_path):
    network = CrossDResNet(2, 1, 3, **NARROW, **ROTATE, alignment="rest")
    save_checkpoint(tmp_path / "axes-projection.pt", network, card(2, **ROTATE))
    return tmp_path / "axes-projection.pt"


def test_what_no_view_saw_is_dropped_and_what_one_saw_stays(path):
    dropped, noisy = (
        build_network(METHODS[name], path, NARROW, 2, seed=0) for name in ("axes-projection", "axes-projection-noisy")
    )
    METHODS["axes-projection"].prepare(dropped, path, torch.zeros(1))
    assert METHODS["axes-projection-noisy"].prepare is None
    assert float(unseen_penalty(noisy, (0, 1, 2)).detach()) > 1
    assert float(unseen_penalty(dropped, (0, 1, 2)).detach()) < 1e-6
    ours, theirs = dropped.layer1[0].conv1.kernel(), noisy.layer1[0].conv1.kernel()
    for axis in (2, 3, 4):
        torch.testing.assert_close(ours.sum(axis), theirs.sum(axis))


def test_what_images_saw_on_average_stays_along_one_axis_or_three(tmp_path):
    network = CrossDResNet(2, 1, 3, **NARROW, **ROTATE)
    for layer in (network.conv1, network.layer1[0].conv1):
        layer.running_motion.copy_(torch.tensor([0.2, -0.1, 0.3]))
    save_checkpoint(tmp_path / "rotate-projection.pt", network, card(2, **ROTATE))
    names = ("rotate-projection", "rotate-projection-clean", "rotate-projection-axes")
    networks = [build_network(METHODS[name], tmp_path / "rotate-projection.pt", NARROW, 2, seed=0) for name in names]
    for name, made in zip(names[1:], networks[1:], strict=True):
        METHODS[name].prepare(made, None, torch.zeros(1))
    before, clean, spread = (made.layer1[0].conv1.kernel() for made in networks)
    torch.testing.assert_close(clean.sum(2), before.sum(2))
    torch.testing.assert_close(clean, clean.mean(2, keepdim=True).expand_as(clean))
    assert not torch.allclose(clean, before, atol=1e-3)
    planes = [clean.movedim(2, axis) for axis in (2, 3, 4)]
    torch.testing.assert_close(spread, sum(planes) / 3)


def test_the_running_motion_becomes_that_of_the_volumes(inputs):
    method = METHODS["running-on-volumes"]
    network = build_network(method, inputs.pretrained["shift"], NARROW, 2, seed=0).eval()
    volumes = torch.randn(5, 1, 12, 12, 12)
    expected = network.conv1.predictor(volumes).mean(0)
    before = network.conv1.weight.clone()
    method.prepare(network, None, volumes)
    torch.testing.assert_close(network.conv1.running_motion, expected.detach())
    assert torch.equal(network.conv1.weight, before)
