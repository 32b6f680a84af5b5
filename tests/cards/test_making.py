"""What a new model inherits from the weights it starts from."""

from __future__ import annotations

import json

import pytest
import torch
from crossd.cards.from_data import channel_names, model_card
from crossd.cards.from_weights import FROM_SCRATCH, base_card, trained_card
from crossd.checkpoints import read_card, save_checkpoint
from crossd.errors import CrossDError
from crossd.networks import CrossDResNet

INPUT = {
    "channels": ["ct"],
    "plane": "coronal",
    "spacing": [2, 1, 1],
    "roi_size": [16, 32, 32],
    "intensity": {"mode": "window", "lower": -100, "upper": 300},
    "mean": 0.3,
    "std": 0.2,
}


@pytest.fixture
def network():
    return CrossDResNet(3, 1, 2, depth=10, width=8)


def test_from_scratch_when_asked():
    assert base_card("none", "") == base_card(None, "") == FROM_SCRATCH


def test_from_a_card(network, tmp_path):
    card = model_card("multiclass", ["a", "b"], {"depth": 10, "width": 8, "motion": "rotate"}, INPUT, "b", "somewhere")
    save_checkpoint(tmp_path / "model.pt", network, card)
    base = base_card(str(tmp_path / "model.pt"), str(tmp_path))
    assert base["input"] == INPUT
    assert base["network"] == {"depth": 10, "width": 8, "motion": "rotate"}  # channels and classes follow the new data
    assert (base["class_names"], base["negative_class"]) == (["a", "b"], 1)
    assert trained_card(str(tmp_path / "model.pt")) == card == read_card(tmp_path / "model.pt")


def test_from_the_card_of_images(tmp_path):
    card = model_card("multiclass", ["a", "b"], {"width": 8, "spatial_dims": 2, "alignment": "dynamic"}, INPUT)
    save_checkpoint(tmp_path / "flat.pt", CrossDResNet(2, 1, 2, width=8), card)
    base = base_card(str(tmp_path / "flat.pt"), str(tmp_path))
    assert base["network"] == {"width": 8}
    assert base["input"]["intensity"] == INPUT["intensity"]
    assert (base["input"]["roi_size"], base["input"]["plane"]) == ([64, 64, 64], "axial")


@pytest.mark.parametrize(("depth", "width"), [(10, 8), (34, 4), (50, 4)])
def test_depth_and_width_of_a_checkpoint_without_a_card(tmp_path, depth, width):
    torch.save(CrossDResNet(3, 1, 2, depth=depth, width=width).state_dict(), tmp_path / "bare.pth")
    assert base_card(str(tmp_path / "bare.pth"), str(tmp_path))["network"] == {"depth": depth, "width": width}


def test_normalisation_of_a_plain_2d_network(tmp_path):
    state = {"conv1.weight": torch.zeros(4, 3, 7, 7), "bn1.weight": torch.zeros(4)}
    state |= {f"layer{stage}.0.conv1.weight": torch.zeros(4, 4, 3, 3) for stage in (1, 2, 3, 4)}
    torch.save(state, tmp_path / "torchvision.pth")
    base = base_card(str(tmp_path / "torchvision.pth"), str(tmp_path))
    assert (base["input"]["mean"], base["input"]["std"]) == (0.449, 0.226)
    torch.save({"model": {"conv1.weights_3d": torch.zeros(4, 1, 3, 3, 3)}}, tmp_path / "official.pth")
    base = base_card(str(tmp_path / "official.pth"), str(tmp_path))
    assert (base["input"]["mean"], base["input"]["std"]) == (0.3162, 0.3213)


def test_the_bundles_own_model_by_its_metadata(network, tmp_path):
    for folder in ("configs", "models"):
        (tmp_path / folder).mkdir()
    card = model_card("multiclass", ["a", "b"], {"depth": 10, "width": 8}, INPUT)
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps({"card": card}))
    path = str(tmp_path / "models" / "model.pt")
    assert base_card(path, str(tmp_path))["class_names"] == ["a", "b"]  # not there yet: the network can be built
    torch.save(network.state_dict(), path)
    assert base_card(path, str(tmp_path))["input"] == INPUT
    with pytest.raises(
        CrossDError, match=r"checkpoint file, got .*other\.pt, which is not there\. Pass --weights FILE"
    ):
        base_card(str(tmp_path / "models" / "other.pt"), str(tmp_path))


def test_weights_that_are_no_checkpoint(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"no checkpoint")
    with pytest.raises(CrossDError, match=r"complete file written by torch.save"):
        base_card(str(tmp_path / "model.pt"), str(tmp_path))


@pytest.mark.parametrize("weights", ["none", "missing.pt"])
def test_an_evaluation_needs_a_trained_model(weights):
    with pytest.raises(CrossDError, match=rf"is needed, got weights {weights}\. Pass --weights FILE.*its --output_dir"):
        trained_card(weights)


def test_negative_class_by_name():
    assert model_card("multiclass", ["a", "b"], {}, INPUT, "b")["negative_class"] == 1
    assert model_card("multiclass", ["a", "b"], {}, INPUT, 0)["negative_class"] == 0
    with pytest.raises(CrossDError, match=r"negative_class must be one of \['a', 'b'\], got 'c'"):
        model_card("multiclass", ["a", "b"], {}, INPUT, "c")


def test_entries_that_break_a_rule():
    with pytest.raises(CrossDError, match=r"`input.plane` of a checkpoint's card.*the configuration has 'oblique'"):
        model_card("multiclass", ["a", "b"], {}, {**INPUT, "plane": "oblique"})


def test_channel_names():
    assert channel_names(["image"], 3) == ["image_1", "image_2", "image_3"]
    assert channel_names(["t1", "t2"], 1) == ["image"]
