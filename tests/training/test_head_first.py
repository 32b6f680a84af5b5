"""Linear probing, then fine-tuning: the body does not move one bit while the head is trained alone; then it does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from crossd import CrossDEfficientNetLite, CrossDResNet, MultiView
from crossd.errors import CrossDError
from crossd.training import HeadFirst, distributed_network, epoch_schedule, parameter_groups, set_trainable
from torch import nn

RESNET = {"name": "CrossDResNet", "depth": 10, "width": 4}


def networks():
    yield CrossDResNet(3, 1, 2, depth=10, width=4), torch.randn(4, 1, 16, 16, 16)
    options = {"image_size": None, "volume_size": None, "pooling": "attention"}
    yield MultiView(3, 1, 2, RESNET, **options), torch.randn(4, 1, 16, 16, 16)


@pytest.mark.parametrize("mode", ["all", "norms"])
def test_the_body_waits_for_the_head(mode):
    for network, volumes in networks():
        set_trainable(network, mode)
        usual = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        handler = HeadFirst(network, epochs=2, all_epochs=4, trainable=mode)
        optimizer = torch.optim.AdamW(parameter_groups(network, 0.01), lr=0.01, weight_decay=0.1)
        moved = []
        for epoch in range(1, 5):
            handler(SimpleNamespace(state=SimpleNamespace(epoch=epoch)))
            before = {name: value.clone() for name, value in network.state_dict().items()}
            network.train()
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(volumes), torch.tensor([0, 1, 0, 1])).backward()
            optimizer.step()
            moved.append({name for name, value in network.state_dict().items() if not torch.equal(value, before[name])})
        alone = {name for name in before if name.startswith(("fc.", "pooling."))}
        assert moved[0] <= alone
        assert {"fc.weight", "fc.bias"} <= moved[1] <= alone
        assert usual <= moved[2] | {name for name in usual if "attention" in name}
        assert any("running_mean" in name for name in moved[3])


def test_a_resumed_run_goes_on_where_it_was():
    network = CrossDResNet(3, 1, 2, depth=10, width=4)
    for epoch, frozen in ((2, True), (3, False), (4, False)):
        handler = HeadFirst(network, epochs=2, all_epochs=4)
        handler(SimpleNamespace(state=SimpleNamespace(epoch=epoch)))
        assert network.layer1[0].conv1.weight.requires_grad != frozen
        if frozen:
            handler.bodies[0].thaw()


def test_the_schedule_begins_when_all_is_trained():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    later = epoch_schedule(optimizer, 6, warmup_epochs=2, warmup_from=0.1, head_epochs=3).lr_lambdas[0]
    usual = epoch_schedule(optimizer, 3, warmup_epochs=2, warmup_from=0.1).lr_lambdas[0]
    assert [later(epoch) for epoch in range(6)] == [1, 1, 1, *(usual(epoch) for epoch in range(3))]


@pytest.mark.parametrize(
    ("network", "near", "far", "stages"),
    [
        (CrossDResNet(2, 1, 2, depth=10, width=4), "conv1.weight", "layer4.0.conv2.weight", 5),
        (CrossDEfficientNetLite(2, 1, 2), "conv_stem.weight", "conv_head.weight", 9),
        (MultiView(3, 1, 2, RESNET), "backbone.conv1.weight", "volume.layer4.0.bn1.weight", 5),
    ],
    ids=["resnet", "lite0", "multi_view"],
)
def test_rates_fall_towards_the_input(network, near, far, stages):
    groups = parameter_groups(network, 0.1, 0.75)
    rates = {id(one): group["lr"] for group in groups for one in group["params"]}
    named = dict(network.named_parameters())
    assert len(rates) == sum(len(group["params"]) for group in groups)
    assert set(rates) == {id(parameter) for parameter in named.values() if parameter.requires_grad}
    assert rates[id(named["fc.weight"])] == 0.1
    assert rates[id(named[far])] == pytest.approx(0.1 * 0.75)
    assert rates[id(named[near])] == pytest.approx(0.1 * 0.75**stages)


def test_one_rate_is_one_list_as_before():
    network = set_trainable(CrossDResNet(2, 1, 2, depth=10, width=4), "norms")
    expected = [parameter for parameter in network.parameters() if parameter.requires_grad]
    found = parameter_groups(network, 0.1)
    assert all(one is other for one, other in zip(found, expected, strict=True))
    alone = parameter_groups(set_trainable(network, "head"), 0.1, 0.5)
    assert [(group["lr"], len(group["params"])) for group in alone] == [(0.1, 2)]


def test_what_is_refused():
    network = CrossDResNet(2, 1, 2, depth=10, width=4)
    for epochs, trainable in ((4, "all"), (-1, "all"), (1, "head")):
        with pytest.raises(CrossDError, match=rf"head_epochs come .*got {epochs} of 4 with trainable {trainable}"):
            HeadFirst(network, epochs, 4, trainable)
    HeadFirst(network, 0, 4, "head")
    with pytest.raises(CrossDError, match=r"layer_decay must lie in 0 < layer_decay <= 1; got 1\.5"):
        parameter_groups(network, 0.1, 1.5)
    with pytest.raises(CrossDError, match=r"layer_decay needs a network of known stages, .*; got Linear"):
        parameter_groups(nn.Linear(1, 1), 0.1, 0.5)


def test_processes_that_share_gradients_do_not_wait_for_frozen_ones(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        network = CrossDResNet(3, 1, 2, depth=10, width=4)
        handler = HeadFirst(network, epochs=1, all_epochs=2)
        parallel = distributed_network(network, find_unused_parameters=True)
        for epoch in (1, 2):
            handler(SimpleNamespace(state=SimpleNamespace(epoch=epoch)))
            for _ in range(2):  # a step that some processes wait in shows in the next one
                parallel.train()
                network.zero_grad(set_to_none=True)
                parallel(torch.randn(2, 1, 16, 16, 16)).sum().backward()
                assert (network.conv1.weight.grad is None) == (epoch == 1)
                assert network.fc.weight.grad is not None
    finally:
        torch.distributed.destroy_process_group()
