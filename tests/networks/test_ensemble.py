"""Several trained networks answer as one: the law that makes their probabilities its own, and what it is run by."""

from __future__ import annotations

import copy

import pytest
import torch
from crossd import CrossDError, fold, load_pretrained
from crossd.inference.backends import accelerate
from crossd.networks import build_classifier
from crossd.networks.ensemble import members_said

PLAIN = {"depth": 10, "width": 4}
MULTI_VIEW = {"name": "MultiView", "backbone": PLAIN, "image_size": 16, "volume_size": 16}


def made(member=PLAIN, exclusive=True, count=3):
    torch.manual_seed(0)
    sizes = {"spatial_dims": 3, "in_channels": 1, "num_classes": 2}
    network = build_classifier({"name": "Ensemble", **sizes, "member": member, "count": count, "exclusive": exclusive})
    return network.eval()


@pytest.mark.parametrize("exclusive", [True, False])
@torch.no_grad()
def test_its_probabilities_are_the_mean_of_its_members(exclusive):
    network, volumes = made(exclusive=exclusive), torch.randn(2, 1, 12, 12, 12)
    kind = torch.softmax if exclusive else lambda logits, _: logits.sigmoid()
    each = torch.stack([kind(member(volumes), 1) for member in network.members], 1)
    logits, features = network.with_features(volumes)
    torch.testing.assert_close(kind(logits, 1), each.mean(1))
    torch.testing.assert_close(network(volumes), logits)
    own, members = members_said({"name": "Ensemble", "count": 3, "num_classes": 2}, features[0])
    torch.testing.assert_close(members, each[0])
    torch.testing.assert_close(own, network.members[0].with_features(volumes)[1][0])


@torch.no_grad()
def test_members_that_are_sure_leave_it_finite():
    network = made()
    for sign in (1e4, -1e4):
        assert network.joined(torch.tensor([[[sign, 0.0], [0.0, sign], [sign, 0.0]]])).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("member", [PLAIN, MULTI_VIEW], ids=["CrossDResNet", "MultiView"])
@torch.no_grad()
def test_it_is_loaded_accelerated_and_scripted_as_its_members_are(member):
    network, volumes = made(member, count=2), torch.randn(2, 1, 16, 16, 16)
    other = copy.deepcopy(network)
    for value in other.state_dict().values():
        value.zero_()
    load_pretrained(other, network.state_dict(), strict_head=True)
    torch.testing.assert_close(other(volumes), network(volumes))
    fast = accelerate(network, volumes, "torchscript")
    torch.testing.assert_close(fast(volumes), network(volumes), atol=1e-5, rtol=0)
    if member is PLAIN:
        torch.testing.assert_close(torch.jit.script(fold(network))(volumes), network(volumes), atol=1e-5, rtol=0)


@pytest.mark.parametrize("count", [0, 10**9])
def test_a_card_asks_for_as_many_members_as_there_can_be(count):
    with pytest.raises(CrossDError, match="An ensemble has 1 to 100 members; got count"):
        made(count=count)
