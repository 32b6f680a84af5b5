"""One set of kernels, three ways of seeing: the laws that join them, and what `MultiView` promises about its state."""

from __future__ import annotations

import copy
import inspect
import io

import pytest
import torch
from crossd import CrossDConv, CrossDError, CrossDResNet, MultiView, fold, load_pretrained
from crossd.networks import PlainEfficientNetLite
from crossd.networks.images_of_volumes import directions, projections, slices, turn

BACKBONE = {"name": "CrossDResNet", "depth": 10, "width": 4, "view": "projection", "motion": "rotate"}
AS_THEY_ARE = {"image_size": None, "volume_size": None}


def made(**options: object) -> MultiView:
    torch.manual_seed(0)
    return MultiView(3, in_channels=1, num_classes=2, **{"backbone": BACKBONE, **AS_THEY_ARE, **options}).eval()


@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
@pytest.mark.parametrize("motion", ["shift", "rotate"])
def test_the_projection_of_the_convolution_is_the_convolution_of_the_projection(padding_mode, motion):
    """Σ_d (U ⋆ V) = (Σ_d U) ⋆ (Σ_d V): one layer without bias, K − 1 zeros of depth padding, or circular."""
    options = {"bias": False, "motion": motion, "alignment": "running", "view": "projection", "dtype": torch.float64}
    layer3 = CrossDConv(3, 2, 4, 3, padding=1, padding_mode=padding_mode, **options)
    layer2 = CrossDConv(2, 2, 4, 3, padding=1, padding_mode=padding_mode, **options)
    layer3.running_motion.copy_(torch.tensor([0.2, -0.3, 0.1]))
    layer2.load_state_dict(layer3.state_dict())
    volume = torch.randn(2, 2, 7, 8, 9, dtype=torch.float64)
    seen = volume
    if padding_mode == "zeros":  # one slice more than the padding of 1 gives
        seen = torch.nn.functional.pad(volume, (0, 0, 0, 0, 1, 1))
    torch.testing.assert_close(layer3(seen).sum(2), layer2(volume.sum(2)), atol=1e-10, rtol=0)


def test_the_identity_ends_at_the_first_relu():
    layer3 = CrossDConv(3, 1, 4, 3, padding=1, bias=False, view="projection", padding_mode="circular")
    layer2 = CrossDConv(
        2, 1, 4, 3, padding=1, bias=False, view="projection", alignment="running", padding_mode="circular"
    )
    layer2.load_state_dict(layer3.state_dict())
    volume = torch.randn(1, 1, 7, 8, 9)
    assert (layer3(volume).relu().sum(2) - layer2(volume.sum(2)).relu()).abs().max() > 0.1


def test_both_sides_answer_alike_for_a_volume_that_is_the_same_at_every_depth():
    """View "projection", equal motion, evaluation, copied norms, replicated padding; the ResNet's max pool included."""
    from crossd.networks.classifiers import CLASSIFIERS

    class Replicating(CrossDResNet):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            for layer in self.modules():
                if isinstance(layer, CrossDConv) and layer.kernel_size[0] > 1:
                    layer._pads_before = [layer.kernel_size[0] // 2] * (2 * layer.spatial_dims)
                    layer._pads, layer.padding_mode = [0] * layer.spatial_dims, "replicate"

    Replicating.__signature__ = inspect.signature(CrossDResNet)
    CLASSIFIERS["Replicating"] = {"crossd": Replicating}
    try:
        network = made(
            backbone={**BACKBONE, "name": "Replicating"}, views=("volume", "projections"), axes=(0,)
        ).double()
    finally:
        del CLASSIFIERS["Replicating"]
    for side in (network.backbone, network.volume):
        for layer in side.modules():
            if isinstance(layer, torch.nn.modules.batchnorm._NormBase):
                layer.running_mean.fill_(0.1), layer.running_var.fill_(1.7)
    image = torch.rand(1, 1, 1, 32, 32, dtype=torch.float64)
    features = network.view_features(image.expand(1, 1, 32, 32, 32))
    mean, largest, _ = features["projections"].chunk(3, 1)
    torch.testing.assert_close(features["volume"], mean, atol=1e-10, rtol=0)
    torch.testing.assert_close(largest, mean, atol=1e-10, rtol=0)


def test_exchanged_axes_exchange_what_is_seen_along_them():
    network = made(views=("slices", "projections"), slice_step=1)
    volume = torch.rand(1, 1, 12, 12, 12)
    (first, second, _), (other, another, _) = (network.seen(x)["slices"] for x in (volume, volume.transpose(2, 3)))
    torch.testing.assert_close(first, another)
    torch.testing.assert_close(second, other)
    for here, there in zip(*(network.seen(x)["projections"] for x in (volume, volume.transpose(2, 3))), strict=True):
        torch.testing.assert_close(here[:, :2], there[:, [1, 0]])


def test_a_step_through_one_side_moves_both():
    network = made(views=("volume",)).train()
    network(torch.rand(2, 1, 16, 16, 16)).sum().backward()
    assert network.backbone.layer1[0].conv1.weight is network.volume.layer1[0].conv1.weight
    assert network.backbone.layer1[0].conv1.weight.grad.abs().max() > 0
    norms = network.backbone.bn1, network.volume.bn1
    assert [norm.weight.grad is None for norm in norms] == [True, False], "norms are of a side"
    names = [name for name, _ in network.named_parameters()]
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith("volume.") and "conv" in name]


def test_the_state_dict_holds_shared_kernels_once_and_comes_back():
    network = made(pooling="attention", axes_apart=True)
    torch.nn.init.normal_(network.volume.bn1.weight)
    state = network.state_dict()
    assert [name for name in state if name.startswith("volume.") and ".conv" in name] == []
    assert {"backbone.conv1.weight", "volume.bn1.weight", "attention.slices.0.weight", "fc.weight"} <= set(state)
    size = sum(value.numel() for value in state.values())
    assert size < 1.2 * sum(value.numel() for value in network.backbone.state_dict().values()) + 3 * 128 * 40
    other = MultiView(3, 1, 2, BACKBONE, **AS_THEY_ARE, pooling="attention", axes_apart=True).eval()
    other.load_state_dict(state)
    volume = torch.rand(1, 1, 10, 11, 12)
    torch.testing.assert_close(other(volume), network(volume))
    file = io.BytesIO()
    torch.save(copy.deepcopy(network), file)
    file.seek(0)
    copied = torch.load(file, weights_only=False)
    assert copied.volume.conv1.weight is copied.backbone.conv1.weight
    moved = copy.deepcopy(network).double().float()
    assert moved.volume.conv1.running_motion is moved.backbone.conv1.running_motion
    with pytest.raises(RuntimeError, match=r"Missing key.*backbone.conv1.weight"):
        network.load_state_dict({name: value for name, value in state.items() if name != "backbone.conv1.weight"})


def test_a_checkpoint_of_the_backbone_starts_both_sides():
    source = CrossDResNet(2, 1, 7, depth=10, width=4, view="projection", motion="rotate")
    torch.nn.init.normal_(source.bn1.weight)
    source.bn1.running_mean.fill_(3)
    network = made()
    report = load_pretrained(network, source.state_dict())
    assert "backbone only: " in str(report)
    for side in (network.backbone, network.volume):
        torch.testing.assert_close(side.conv1.weight, source.conv1.weight)
        torch.testing.assert_close(side.bn1.weight, source.bn1.weight)
        torch.testing.assert_close(side.bn1.running_mean, source.bn1.running_mean)
    again = made()
    torch.nn.init.normal_(network.volume.bn1.weight)
    assert load_pretrained(again, network.state_dict()).missing == ()
    torch.testing.assert_close(again.volume.bn1.weight, network.volume.bn1.weight)


def test_the_backbone_takes_all_that_an_efficientnet_has_before_its_last_layer():
    network = MultiView(3, 1, 2, {"name": "CrossDEfficientNetLite", "variant": "lite0"}, image_size=None)
    source = PlainEfficientNetLite(2, in_channels=3, num_classes=7)
    torch.nn.init.normal_(source.bn2.weight)
    report = load_pretrained(network, source.state_dict())
    assert sorted(report.unused) == ["fc.bias", "fc.weight"]
    assert torch.equal(network.backbone.conv_head.weight.flatten(), source.conv_head.weight.flatten())
    assert torch.equal(network.backbone.bn2.weight, source.bn2.weight)
    assert torch.equal(network.volume.bn2.weight, source.bn2.weight)
    assert "volume shares the kernels of backbone" in str(report)


def test_features_for_the_scope_come_with_the_answer():
    network, volume = made(), torch.rand(2, 1, 12, 12, 12)
    logits, features = network.with_features(volume)
    assert torch.equal(logits, network(volume))
    torch.testing.assert_close(features.square().sum(1), torch.full((2,), 3.0))  # a unit vector of each view


def test_folded_it_answers_the_same():
    network = made(directions="diagonals")
    volume = torch.rand(1, 1, 12, 13, 14)
    torch.testing.assert_close(fold(network)(volume), network(volume), atol=1e-5, rtol=1e-4)
    moved = fold(network).to("cpu", torch.float64)  # which ties what is shared once more
    torch.testing.assert_close(moved(volume.double()).float(), network(volume), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("channels", "repeats"), [("mean", 1), ("concatenate", 2), ("differences", 3)], ids=lambda value: str(value)
)
def test_channels_are_volumes_of_their_own(channels, repeats):
    network = made(channels=channels, views=("slices",))
    network2 = MultiView(3, 2, 2, BACKBONE, views=("slices",), channels=channels, image_size=None).eval()
    network2.backbone.load_state_dict(network.backbone.state_dict())
    one, two = torch.rand(2, 3, 1, 12, 12, 12)
    alone = [network.view_features(x)["slices"] for x in (one, two)]
    expected = {"mean": (alone[0] + alone[1]) / 2, "concatenate": torch.cat(alone, 1)}
    expected["differences"] = torch.cat([*alone, alone[1] - alone[0]], 1)
    found = network2.view_features(torch.cat([one, two], 1))["slices"]
    assert found.shape[1] == repeats * 32
    torch.testing.assert_close(found, expected[channels])


def test_thick_slices_are_seen_along_depth_only():
    network = made(spacing=(10, 1.5, 1.5), slice_step=10)
    assert network.axes == [0]
    assert network.slice_positions((12, 90, 90)) == {0: list(range(12))}
    assert network(torch.rand(1, 1, 12, 30, 30)).shape == (1, 2)
    assert network(torch.rand(1, 1, 1, 30, 30)).shape == (1, 2), "one slice"


def test_directions_and_projections():
    volume = torch.rand(1, 1, 9, 9, 9)
    for direction in directions("axes"):
        axis = direction.index(1)
        turned = projections(turn(volume, direction, (1, 1, 1)), 0)
        expected = projections(volume, axis)
        squares = (expected, expected.transpose(3, 4))
        squares = [flip for square in squares for flip in (square, square.flip(3), square.flip(4), square.flip(3, 4))]
        assert min((turned - square).abs().max() for square in squares) < 1e-5
    assert slices(volume, 2, 2).shape == (1, 5, 1, 9, 9)
    square = torch.linspace(-1, 1, 33).square()
    ball = (-8 * (square[:, None, None] + square[:, None] + square)).exp()[None, None]
    along = [projections(turn(ball, direction, (1, 1, 1)), 0, ("mean",)) for direction in directions("diagonals")]
    assert max((image - along[0]).abs().max() for image in along) < 0.01, "a ball looks the same from everywhere"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": ("slice",)}, r"`views` must be one of 'volume', 'slices', 'projections'; got 'slice'"),
        ({"views": ()}, r"`views` must name one or more of volume, slices, projections; got \(\)"),
        ({"pooling": "sum"}, r"`pooling` must be one of 'mean', 'max', 'attention'; got 'sum'"),
        ({"spacing": (10, 1, 1), "axes": (1,)}, r"pixels are nearly square, of \[0\] .*; got axes \(1,\)"),
        ({"spacing": (10, 1, 100)}, r"pixels at most 3 times as long as wide, and voxels of \(10.0, 1.0, 100.0\)"),
        ({"backbone": {"name": "ResNet"}}, r"`network.name` must be one of 'CrossDResNet'.*; got 'ResNet'"),
        ({"backbone": {"conv": "plain"}}, r"PlainResNet takes spatial_dims, .*; got alignment\."),
        ({"volume_size": 0}, r"`volume_size` must be a number of voxels, or None for as they are; got 0"),
        ({"directions": "all"}, r"`directions` must be one of 'axes', 'diagonals'; got 'all'"),
    ],
)
def test_what_it_refuses(options, message):
    with pytest.raises(CrossDError, match=message):
        made(**options)
    with pytest.raises(CrossDError, match="expects \\(batch, channel, depth, height, width\\); got 4 axes"):
        made()(torch.rand(1, 16, 16, 16))


def test_each_side_gets_volumes_of_the_size_that_its_weights_know():
    network, sides = made(image_size=24, volume_size=16, spacing=(3, 1.5, 1.5)), {"backbone": [], "volume": []}
    for name, seen in sides.items():
        side = network.get_submodule(name)
        side.conv1.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(tuple(inputs[0].shape[2:])))
    small, large = torch.rand(1, 1, 5, 12, 10), torch.rand(1, 1, 40, 80, 60)
    assert network(small).shape == network(large).shape == (1, 2)
    assert {max(shape) for shape in sides["backbone"]} == {24}, "the longer side of an image"
    assert sides["volume"] == [(13, 16, 13), (16, 16, 12)], "cubic voxels, the longest side"
