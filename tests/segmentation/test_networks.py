"""Which network a card means, what a new one takes over, and with which weights it starts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from crossd import CrossDConv, CrossDResNet
from crossd.checkpoints import check_card, read_card, save_checkpoint
from crossd.errors import CrossDError
from crossd.inference import network_from_card
from crossd.networks import CrossDUNet
from crossd.segmentation import (
    SegmentationWeightsLoader,
    network_arguments,
    segmentation_base,
    segmentation_network,
)
from crossd.ssl import build_encoder
from crossd.training import model_card, trained_card
from monai.bundle import ConfigParser

SMALL = {"depth": 10, "width": 4}
NAMES = ["background", "low", "high"]


@pytest.fixture
def card(card_input):
    def make(names=NAMES, network=None, values=None):
        network = {"name": "CrossDUNet", **SMALL} if network is None else network
        values = values or list(range(len(names)))
        return model_card("segmentation", names, network, card_input, 0, label_values=values)

    return make


@pytest.fixture
def start():
    return lambda *arguments: SegmentationWeightsLoader(*arguments)(SimpleNamespace(state=SimpleNamespace(epoch=0)))


def test_a_card_names_its_network(card):
    network = segmentation_network(card())
    assert isinstance(network, CrossDUNet)
    assert network.heads[0].out_channels == 3
    options = {"name": "UNet", "channels": [4, 8, 8], "strides": [2, 2]}
    plain, crossd = (segmentation_network(card(network={**options, "convs": kind})) for kind in ("plain", "crossd"))
    assert type(plain).__name__ == type(crossd).__name__ == "UNet"
    assert not any(isinstance(module, CrossDConv) for module in plain.modules())
    assert any(isinstance(module, CrossDConv) for module in crossd.modules())
    assert crossd.eval()(torch.rand(1, 1, 16, 16, 16)).shape == (1, 3, 16, 16, 16)


def test_a_model_that_segments_is_no_classifier(card):
    with pytest.raises(CrossDError, match=r"a model that segments: use it with configs/inference_segmentation\.json"):
        network_from_card(card())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"name": "UNett"}, r"CrossDUNet or a class of monai.networks.nets, got 'UNett'\. Did you mean"),
        ({"name": "UNet"}, r"takes the arguments of its class, got .* for UNet .*network_options"),
        ({"name": "UNet", "convs": "acs"}, "`convs` must be one of 'plain', 'crossd'; got 'acs'"),
        ({"name": "CrossDUNet", "width": 4, "depth": 12}, "`depth` must be one of"),
    ],
)
def test_networks_that_are_refused(card, network, message):
    with pytest.raises(CrossDError, match=message):
        segmentation_network(card(network=network))


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("label_values", [0, 1], "`label_values` .* must be 3 distinct whole numbers, 0 first"),
        ("label_values", [1, 0, 2], "`label_values`"),
        ("label_values", None, "`label_values`"),
        (
            "network",
            {"in_channels": 1, "out_channels": 2},
            "`network.out_channels` .* must be 3, the number",
        ),
        ("class_names", ["one"], "`class_names` .* 2 or more"),
    ],
)
def test_cards_that_are_refused(card, entry, value, message):
    with pytest.raises(CrossDError, match=message):
        check_card({**card(), entry: value})


@pytest.fixture
def classifier(tmp_path, card_input):
    network = CrossDResNet(2, 1, 2, **SMALL, motion="rotate", view="projection", conv1_t_size=3, no_max_pool=True)
    options = {"spatial_dims": 2, **SMALL, "motion": "rotate", "view": "projection"}
    options |= {"conv1_t_size": 3, "no_max_pool": True}
    made = model_card("multiclass", ["a", "b"], options, card_input)
    save_checkpoint(tmp_path / "images.pt", network, made)
    return str(tmp_path / "images.pt")


def test_starts_from_a_2d_classifier_as_its_card_says(classifier, card, root, start):
    base = segmentation_base(classifier, str(root))
    assert base["class_names"] is None
    assert base["input"]["mean"] == 0.5
    arguments = network_arguments(base, "crossd", "plain", {"depth": 10, "width": 4}, {})
    made = card(network=arguments)
    network = segmentation_network(made)
    assert network.encoder.conv1.motion == "rotate"
    assert network.encoder.conv1.kernel_size == (3, 3, 3)
    start(network, classifier, made)
    stored = torch.load(classifier, weights_only=True)["model"]
    assert all(torch.equal(value, stored[name]) for name, value in network.encoder.state_dict().items())
    with pytest.raises(CrossDError, match=r"A mask needs a model that segments; .*images.pt is one for multiclass"):
        trained_card(classifier, segments=True)


def test_starts_from_a_self_supervised_encoder(tmp_path, card, card_input, root, start):
    options = {**SMALL, "conv1_t_size": 3, "no_max_pool": True}
    network = CrossDResNet(3, 1, 2, **options)
    state = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    made = {**card(), "task": "self_supervised", "encoder": "crossd", "class_names": [], "negative_class": None}
    made |= {"network": {"spatial_dims": 3, "in_channels": 1, **options}, "input": {**card_input, "mean": 0.4}}
    save_checkpoint(tmp_path / "ssl.pt", state, made)
    base = segmentation_base(str(tmp_path / "ssl.pt"), str(root))
    assert (base["class_names"], base["input"]["mean"], base["network"]) == (None, 0.4, options)
    wanted = card(network=network_arguments(base, "crossd", "plain", {"deep_supervision": 1}, {}))
    unet = segmentation_network(wanted)
    start(unet, str(tmp_path / "ssl.pt"), wanted)
    assert all(torch.equal(value, state[name]) for name, value in unet.encoder.state_dict().items())


@pytest.mark.parametrize(
    ("encoder", "conv", "options"),
    [
        ("segresnet", "crossd", {"width": 8, "blocks_down": [1, 1], "blocks_up": [1]}),
        ("unet", "plain", {"channels": [4, 8, 16]}),
    ],
)
def test_goes_on_with_the_encoder_of_a_monai_network(tmp_path, card, card_input, root, start, encoder, conv, options):
    torch.manual_seed(2)
    pretrained = build_encoder(encoder, 1, options, conv).net.state_dict()
    made = {**card(), "task": "self_supervised", "encoder": encoder, "class_names": [], "negative_class": None}
    stored = {"spatial_dims": 3, "in_channels": 1, **options, **({"conv": conv} if conv == "crossd" else {})}
    save_checkpoint(tmp_path / "ssl.pt", pretrained, {**made, "network": stored, "input": {**card_input, "mean": 0.4}})
    parser = ConfigParser()
    parser.read_config([str(root / "configs" / f"{name}.json") for name in ("train", "train_segmentation")])
    parser.update({"weights": str(tmp_path / "ssl.pt"), "bundle_root": str(root)})
    wanted = card(network=parser.get_parsed_content("network_arguments"))
    network = segmentation_network(wanted)
    start(network, str(tmp_path / "ssl.pt"), wanted)
    found = network.state_dict()
    assert len(found) > len(pretrained)
    assert all(torch.equal(value, found[name]) for name, value in pretrained.items())
    assert network.eval()(torch.rand(1, 1, 16, 16, 16)).shape[1] == 3


@pytest.mark.parametrize(
    "network",
    [
        {"name": "CrossDUNet", **SMALL, "deep_supervision": 0},
        {"name": "SegResNet", "convs": "crossd", "init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
    ],
)
def test_the_config_goes_on_with_the_network_of_a_segmentation_model(tmp_path, card, root, start, network):
    made = card(network=network)
    save_checkpoint(tmp_path / "model.pt", segmentation_network(made), made)
    parser = ConfigParser()
    parser.read_config([str(root / "configs" / f"{name}.json") for name in ("train", "train_segmentation")])
    parser.update({"weights": str(tmp_path / "model.pt"), "bundle_root": str(root)})
    arguments = parser.get_parsed_content("network_arguments")
    assert arguments == network
    start(segmentation_network(card(network=arguments)), str(tmp_path / "model.pt"), made)


def test_starts_from_scratch_only_when_asked_to(root):
    base = segmentation_base("none", str(root))
    assert base["network"] == {"depth": 18, "width": 64}
    with pytest.raises(CrossDError, match="weights must be a checkpoint file"):
        segmentation_base("nowhere.pt", str(root))


def test_another_kind_of_network_takes_nothing_over(classifier, root):
    base = segmentation_base(classifier, str(root))
    arguments = network_arguments(base, "unet", "plain", {"depth": 10}, {"strides": [2]})
    assert arguments == {"name": "UNet", "convs": "plain", "strides": [2]}


@pytest.mark.slow
def test_goes_on_from_a_segmentation_model_with_fresh_heads_for_other_classes(tmp_path, card, root, start):
    made = card(values=[0, 1, 4])
    torch.manual_seed(1)
    network = segmentation_network(made)
    path = str(tmp_path / "model.pt")
    save_checkpoint(path, network, made)
    base = segmentation_base(path, str(root))
    assert (base["class_names"], base["label_values"]) == (NAMES, [0, 1, 4])
    assert read_card(path)["label_values"] == [0, 1, 4]
    arguments = network_arguments(base, "CrossDUNet", "plain", {}, {})
    assert arguments == {"name": "CrossDUNet", **SMALL}
    for names, same in ((NAMES, True), (["background", "a"], False), (["background", "a", "b"], False)):
        wanted = card(names, arguments)
        other = segmentation_network(wanted)
        start(other, path, wanted)
        assert torch.equal(other.decoder[0].convs.conv_0.conv.weight, network.decoder[0].convs.conv_0.conv.weight)
        given, wished = other.heads[0].weight, network.heads[0].weight
        assert (given.shape == wished.shape and torch.equal(given, wished)) == same
