"""What is added when training has ended rests on validation cases: test cases are not even looked at."""

from __future__ import annotations

import logging

import pytest
import torch
from crossd.cards.operating_point import OperatingPoint
from crossd.checkpoints import read_checkpoint, save_checkpoint
from crossd.errors import CrossDError
from crossd.inference import inferer_from_card, network_from_card
from crossd.training import CardWriter, model_card
from monai.data import MetaTensor

from ..configs import card_input

CARD = model_card("multiclass", ["dark", "bright"], {"depth": 10, "width": 4}, card_input(8), 0)


class Splits(dict):
    def __getitem__(self, split):
        assert split != "test", "test cases were read"
        return super().__getitem__(split)


@pytest.fixture
def writer(tmp_path):
    """Of a network with random weights, and cubes of which the class is the brightness."""
    torch.manual_seed(0)
    network = network_from_card(CARD).eval()
    save_checkpoint(tmp_path / "model.pt", network, CARD)
    made = [{"image": torch.rand(1, 8, 8, 8) + number % 2, "label": number % 2} for number in range(14)]
    cases = Splits(train=made[:4], val=made[4:], test=made)

    def make(rule, calibration="temperature", **splits):
        def read(item):
            return {"image": MetaTensor(item["image"])}

        given = Splits(cases, **splits)
        made = (str(tmp_path), network, given, read, inferer_from_card(CARD))
        return CardWriter(*made, operating_point=rule, calibration=calibration)

    return make


def test_test_cases_are_not_read(writer, tmp_path, caplog):
    before = read_checkpoint(tmp_path / "model.pt")
    with caplog.at_level(logging.INFO):
        writer("youden").write()
    after = read_checkpoint(tmp_path / "model.pt")
    card = after["card"]
    assert "calibrated on 10 validation cases: temperature" in caplog.text
    assert (card["calibration"]["cases"], card["operating_point"]["cases"], card["scope"]["cases"]) == (10, 10, [4, 10])
    assert card["calibration"]["loss"]["after"] < card["calibration"]["loss"]["before"]
    assert 0 < OperatingPoint.of(card).thresholds["bright"] < 1
    temperature = card["calibration"]["temperature"]
    torch.testing.assert_close(after["model"]["fc.weight"] * temperature, before["model"]["fc.weight"])
    assert torch.equal(after["model"]["conv1.weight"], before["model"]["conv1.weight"])


def test_a_second_time_it_is_calibrated_already_and_another_rule_changes_the_threshold_alone(writer, tmp_path):
    writer("youden").write()
    first = read_checkpoint(tmp_path / "model.pt")
    writer("youden").write()
    assert read_checkpoint(tmp_path / "model.pt")["card"] == first["card"]
    writer("sensitivity:1").write()
    other = read_checkpoint(tmp_path / "model.pt")
    assert other["card"]["calibration"] == first["card"]["calibration"]
    assert other["card"]["operating_point"]["rule"] == "sensitivity:1"
    assert torch.equal(other["model"]["fc.weight"], first["model"]["fc.weight"])
    writer(None).write()
    assert read_checkpoint(tmp_path / "model.pt")["card"]["operating_point"] is None


def test_calibration_may_be_curves_or_none(writer, tmp_path):
    """Neither changes the network; thresholds are of what is said in the end."""
    before = read_checkpoint(tmp_path / "model.pt")["model"]["fc.weight"]
    writer("youden", None).write()
    assert not {"calibration", "isotonic"} & {*read_checkpoint(tmp_path / "model.pt")["card"]}
    writer("youden", "isotonic").write()
    writer("sensitivity:1", "isotonic").write()
    content = read_checkpoint(tmp_path / "model.pt")
    assert torch.equal(content["model"]["fc.weight"], before)
    card = content["card"]
    meant = card["isotonic"]["bright"][1]
    assert 1 / 7 - 1e-9 <= min(meant) <= max(meant) <= 6 / 7 + 1e-9  # Platt's bounds: 5 cases of each class
    assert OperatingPoint.of(card).thresholds["bright"] == pytest.approx(min(meant) / 2)  # half-way to 0
    with pytest.raises(CrossDError, match=r"`calibration` must be one of 'temperature', 'isotonic'; got 'platt'"):
        writer("youden", "platt")


def test_few_validation_cases_give_no_threshold(writer, tmp_path, caplog):
    made = [{"image": torch.rand(1, 8, 8, 8) + number % 2, "label": number % 2} for number in range(4)]
    writer("youden", val=made).write()
    assert OperatingPoint.of(read_checkpoint(tmp_path / "model.pt")["card"]).limits == {"bright": 0.5}
    assert "a threshold needs 5 validation cases with a class and 5 without" in caplog.text


def test_a_rule_that_is_none_is_refused_before_training(writer):
    with pytest.raises(CrossDError, match="operating_point must be youden"):
        writer("best")
