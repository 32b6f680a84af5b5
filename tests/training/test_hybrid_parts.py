"""Hybrid training is 3D plus 2D training: gradients add, and each branch is what it is without the other."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from crossd.errors import CrossDError
from crossd.networks import CrossDResNet, PlainResNet
from crossd.training.hybrid import (
    HybridLoss,
    HybridNetwork,
    ImageStream,
    PairedLoader,
    StreamedImages,
    hybrid_network,
    image_channels,
    image_twin,
    images_per_step,
)
from monai.transforms import Compose, RandShiftIntensityd
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.data import DataLoader

NETWORK = {"in_channels": 1, "depth": 10, "width": 4, "conv1_t_size": 3, "no_max_pool": True}
VOLUMES, IMAGES = torch.randn(3, 1, 12, 12, 12), torch.randn(6, 1, 20, 20)
LABELS = (torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2, 2, 1, 0]))


def twins(volume_options=None, image_options=None):
    torch.manual_seed(0)
    volumes = CrossDResNet(3, num_classes=2, **NETWORK, **(volume_options or {}))
    return volumes, CrossDResNet(2, num_classes=3, **NETWORK, **(image_options or {}))


def gradients(network, volume_weight=1.0, image_weight=1.0):
    loss = HybridLoss(nn.CrossEntropyLoss(), nn.CrossEntropyLoss(), volume_weight, image_weight)
    network.train().zero_grad()
    loss(network(VOLUMES, IMAGES), LABELS).backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def alone(network, inputs, labels):
    network.train()
    nn.functional.cross_entropy(network(inputs), labels).backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def test_both_networks_are_of_one_set_of_parameters():
    network = HybridNetwork(*twins())
    of_images = dict(network.images.named_parameters())
    for name, parameter in network.volumes.named_parameters():
        assert (parameter is of_images[name]) == (not name.startswith("fc.")), name
    counted = {name.split(".")[0] for name, _ in network.named_parameters() if "fc" not in name}
    assert counted == {"volumes"}  # each once, as optimisers and DistributedDataParallel count them


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.3, 2.0)])
def test_the_gradients_add(weights):
    volumes, images = twins()
    images.load_state_dict({**volumes.state_dict(), "fc.weight": images.fc.weight, "fc.bias": images.fc.bias})
    expected = [
        alone(copy.deepcopy(network), inputs, labels)
        for network, inputs, labels in ((volumes, VOLUMES, LABELS[0]), (images, IMAGES, LABELS[1]))
    ]
    found = gradients(HybridNetwork(volumes, images), *weights)
    for name, gradient in found.items():
        part, _, plain = name.partition(".")
        terms = (
            zip(weights, expected, strict=True)
            if not plain.startswith("fc.")
            else [(weights[part == "images"], expected[part == "images"])]
        )
        total = sum(weight * grads[plain] for weight, grads in terms if plain in grads)
        torch.testing.assert_close(gradient, total, atol=1e-6, rtol=1e-4, msg=name)


def test_the_predictor_learns_from_the_images_while_volumes_use_the_running_motion():
    network = HybridNetwork(*twins())
    assert network.volumes.layer1[0].conv1.alignment == "running"
    found = gradients(network)
    assert found["volumes.layer1.0.conv1.predictor.0.weight"].abs().sum() > 0
    motion = network.volumes.layer1[0].conv1.running_motion
    assert motion is network.images.layer1[0].conv1.running_motion
    assert motion.abs().sum() > 0


def test_a_branch_of_weight_zero_is_not_run_and_needs_no_gradient():
    volumes, images = twins()
    lone = alone(copy.deepcopy(volumes), VOLUMES, LABELS[0])
    network = HybridNetwork(volumes, images, image_weight=0)
    before = copy.deepcopy(images.state_dict())
    found = gradients(network, image_weight=0)
    assert network(VOLUMES, IMAGES)[1] is None
    assert {name.removeprefix("volumes.") for name in found} == set(lone)
    for name, gradient in lone.items():
        torch.testing.assert_close(found[f"volumes.{name}"], gradient)
    needed = {name for name, p in network.named_parameters() if p.requires_grad}
    assert needed == {f"volumes.{name}" for name in lone}  # nothing that DistributedDataParallel would wait for
    assert torch.equal(images.state_dict()["bn1.running_mean"], before["bn1.running_mean"])

    volumes, images = twins()
    images.load_state_dict({**volumes.state_dict(), "fc.weight": images.fc.weight, "fc.bias": images.fc.bias})
    lone = alone(copy.deepcopy(images), IMAGES, LABELS[1])
    found = gradients(HybridNetwork(volumes, images, volume_weight=0), volume_weight=0)
    assert {name.partition(".")[2] for name in found} == set(lone)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, lone[name.partition(".")[2]], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("statistics", ["separate", "shared"])
def test_whose_batches_move_the_statistics(statistics):
    network = HybridNetwork(*twins(), norm_statistics=statistics, volume_weight=0)
    norms = [name for name, module in network.volumes.named_modules() if isinstance(module, _NormBase)]
    outside = [name for name in norms if "predictor" not in name]
    before = {name: network.volumes.get_submodule(name).running_mean.clone() for name in norms}
    gradients(network, volume_weight=0)  # images only
    moved = {name: not torch.equal(network.volumes.get_submodule(name).running_mean, before[name]) for name in norms}
    assert all(moved[name] == (statistics == "shared") for name in outside)
    assert all(moved[name] for name in norms if name not in outside)  # predictors see nothing but images
    images = network.images.get_submodule(outside[0])
    assert (images.running_var is network.volumes.get_submodule(outside[0]).running_var) == (statistics == "shared")


def test_predictors_that_both_ask_have_statistics_of_their_own():
    network = HybridNetwork(*twins({"alignment": "dynamic"}))
    norm = "layer1.0.conv1.predictor.1"
    assert network.volumes.get_submodule(norm).running_mean is not network.images.get_submodule(norm).running_mean
    assert network.volumes.get_submodule(norm).weight is network.images.get_submodule(norm).weight


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n)), lambda n: n.to(torch.float64)]
)
def test_copies_and_conversions_stay_tied(copied):
    network = copied(HybridNetwork(*twins(), norm_statistics="shared"))
    assert network.volumes.conv1.weight is network.images.conv1.weight
    for name, buffer in network.volumes.named_buffers():
        assert dict(network.images.named_buffers())[name] is buffer, name


def test_the_state_of_the_3d_part_is_that_of_an_ordinary_network():
    network = HybridNetwork(*twins())
    assert CrossDResNet(3, num_classes=2, **NETWORK).load_state_dict(network.volumes.state_dict())
    other = HybridNetwork(*twins())
    with torch.no_grad():
        other.volumes.conv1.weight.zero_()
    other.load_state_dict(network.state_dict())
    assert other.volumes.conv1.weight is other.images.conv1.weight
    torch.testing.assert_close(other.images.conv1.weight, network.images.conv1.weight)


@pytest.mark.parametrize("mode", ["head", "norms"])
def test_parts_can_be_frozen(mode):
    arguments = {"spatial_dims": 3, "num_classes": 2, **NETWORK}
    network = hybrid_network(CrossDResNet(**arguments), arguments, ["a", "b", "c"], trainable=mode)
    found = set(gradients(network))
    assert {"volumes.fc.weight", "images.fc.weight"} <= found
    assert ("volumes.bn1.weight" in found) == (mode == "norms")
    assert "volumes.conv1.weight" not in found


def test_networks_that_cannot_be_twins():
    volumes, images = twins()
    with pytest.raises(CrossDError, match=r"kernels are shared between a 3D and a 2D .* got CrossDResNet and Plain"):
        HybridNetwork(volumes, PlainResNet(2, num_classes=3, **NETWORK))
    with pytest.raises(CrossDError, match=r"have the same layers, got other ones: 68 entries, .* differ\. Give both"):
        HybridNetwork(volumes, CrossDResNet(2, num_classes=3, **{**NETWORK, "width": 8}))
    with pytest.raises(CrossDError, match=r"the motions \{\('shift', .* differ"):
        HybridNetwork(volumes, CrossDResNet(2, num_classes=3, **NETWORK, motion="rotate"))
    with pytest.raises(CrossDError, match=r"`norm_statistics` must be one of 'separate', 'shared'; got 'both'"):
        HybridNetwork(volumes, images, norm_statistics="both")
    with pytest.raises(CrossDError, match=r"needs Cross-D kernels, got a PlainResNet\. Start from other weights"):
        image_twin(PlainResNet(3, num_classes=2, **NETWORK), NETWORK, 3)


@pytest.mark.parametrize("weights", [(0, 0), (-1, 1), (1, float("nan"))])
def test_weights_of_losses(weights):
    with pytest.raises(
        CrossDError, match=r"Weights of losses are 0 or more, and one of them above 0; got volume_weight"
    ):
        HybridNetwork(*twins(), volume_weight=weights[0], image_weight=weights[1])


def test_the_stream_of_images_goes_on_from_epoch_to_epoch_and_is_shared_by_the_processes():
    def epochs(count, **processes):
        stream = ImageStream(10, per_epoch=8 // processes.get("world_size", 1), seed=3, **processes)
        order = []
        for epoch in range(1, count + 1):
            stream.set_epoch(epoch)
            order.append(list(stream))
        return order

    whole = [index for epoch in epochs(5) for index in epoch]
    assert all(sorted(whole[turn : turn + 10]) == list(range(turn, turn + 10)) for turn in range(0, 40, 10))
    assert [number % 10 for number in whole[:10]] != [number % 10 for number in whole[10:20]]
    both = [epochs(5, rank=rank, world_size=2) for rank in (0, 1)]
    joined = [index for a, b in zip(*both, strict=True) for pair in zip(a, b, strict=True) for index in pair]
    assert joined == whole
    with pytest.raises(CrossDError, match=r"Hybrid training needs images, got 0\. Pass --images"):
        ImageStream(0, 8)


def test_an_image_that_comes_again_in_an_epoch_is_another_crop_and_resuming_repeats_it():
    def epochs(first):
        stream = ImageStream(2, per_epoch=6, seed=1)
        images = StreamedImages(
            [{"x": torch.zeros(1, 1)}, {"x": torch.ones(1, 1)}],
            Compose([RandShiftIntensityd("x", offsets=0.4, prob=1.0)]),
            seed=1,
            cache_rate=0.0,
        )
        seen = []
        for epoch in range(first, 3):
            for part in (stream, images):
                part.set_epoch(epoch)
            seen.append([float(images[number]["x"]) for number in stream])
        return seen

    both = epochs(1)
    assert len({value for epoch in both for value in epoch}) == 12
    assert all(sum(value > 0.5 for value in epoch) == 3 for epoch in both)  # three times each image
    assert epochs(2) == both[1:]


def test_a_step_has_a_batch_of_each():
    volumes = DataLoader(list(range(5)), batch_size=2)
    images = DataLoader(list(range(20)), batch_size=4, sampler=ImageStream(10, per_epoch=12))
    paired = PairedLoader(volumes, images)
    assert [(len(b["volumes"]), len(b["images"])) for b in paired] == [(2, 4), (2, 4), (1, 4)]
    with pytest.raises(CrossDError, match=r"a batch of volumes and one of images, got 3 and 5 in an epoch\. Make"):
        PairedLoader(volumes, DataLoader(list(range(10)), batch_size=2))
    with pytest.raises(CrossDError, match=r"two images or more, got images_per_volume 0\.1 for 4 .* 0\.5 or more"):
        images_per_step(0.1, 4)
    with pytest.raises(
        CrossDError, match=r"1 channel \(grey\) or 3 \(colour\); got volumes of 2 channels: t1, t2\. Take"
    ):
        image_channels(["t1", "t2"])
