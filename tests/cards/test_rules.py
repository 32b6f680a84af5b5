"""The card of a checkpoint: where it is found, and the rules it keeps."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from crossd.bundle import is_bundles_own
from crossd.checkpoints import check_card, read_card, save_checkpoint
from crossd.errors import CrossDError
from torch import nn

from ..configs import card_input

CARD: dict[str, Any] = {
    "format": 1,
    "crossd_version": "0.1.0",
    "task": "multiclass",
    "class_names": ["healthy", "aneurysm"],
    "negative_class": 0,
    "network": {"spatial_dims": 3, "in_channels": 1, "num_classes": 2, "depth": 18, "width": 8},
    "input": card_input(64, intensity={"mode": "window", "lower": 0, "upper": 255}),
    "data": "made",
    "metrics": {},
}


def _changed(path: str, value: Any, card: dict[str, Any] = CARD) -> dict[str, Any]:
    card = copy.deepcopy(card)
    *parents, last = path.split(".")
    entry = card
    for parent in parents:
        entry = entry[parent]
    entry[last] = value
    return card


OF_0_1_0: dict[str, Any] = {  # what version 0.1.0 wrote into models/model.pt
    "format": 1,
    "crossd_version": "0.1.0",
    "task": "multiclass",
    "class_names": ["healthy", "aneurysm"],
    "negative_class": 0,
    "network": {
        "spatial_dims": 3,
        "in_channels": 1,
        "num_classes": 2,
        "depth": 18,
        "width": 24,
        "motion": "rotate",
        "view": "projection",
    },
    "input": {
        "channels": ["image"],
        "plane": "axial",
        "spacing": [1.0, 1.0, 1.0],
        "roi_size": [64, 64, 64],
        "intensity": {"mode": "range", "lower": None, "upper": None},
        "mean": 0.3162,
        "std": 0.3213,
    },
    "data": "VesselMNIST3D 64",
    "metrics": {"val_auc": 0.9225389957427979, "val_loss": 0.28276345133781433, "epoch": 18},
}


def test_a_card_of_version_0_1_0_still_loads(tmp_path: Path) -> None:
    torch.save({"model": nn.Linear(1, 1).state_dict(), "card": OF_0_1_0}, tmp_path / "model.pt")
    assert read_card(tmp_path / "model.pt") == OF_0_1_0


def test_card_travels_in_the_file(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.pt", nn.Linear(1, 1), CARD)
    assert read_card(tmp_path / "x.pt") == CARD


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("negative_class", None),
        ("input.spacing", [1.0, 1, 0.5]),
        ("input.plane", "acquired"),
        ("input.roi_size", None),
        ("input.mean", [0.5]),
        ("input.intensity", {"mode": "percentile", "lower": 0.5, "upper": 99.5}),
        ("input.intensity", {"mode": "range", "lower": None, "upper": None}),
        ("extra", "kept"),
    ],
)
def test_accepted(path: str, value: Any) -> None:
    card = _changed(path, value)
    assert check_card(card) is card


def test_multilabel_may_have_one_class() -> None:
    card = _changed("task", "multilabel")
    card["class_names"], card["network"]["num_classes"] = ["aneurysm"], 1
    assert check_card(card) is card


def _bundle(folder: Path, metadata: str) -> Path:
    (folder / "configs").mkdir()
    (folder / "models").mkdir()
    (folder / "configs" / "metadata.json").write_text(metadata)
    torch.save(nn.Linear(1, 1).state_dict(), folder / "models" / "model.pt")
    return folder / "models" / "model.pt"


def test_card_of_a_bare_state_dict_is_the_bundles(tmp_path: Path) -> None:
    assert read_card(_bundle(tmp_path, json.dumps({"card": CARD}))) == CARD


def test_card_of_another_checkpoint_in_the_bundle_is_not_the_bundles(tmp_path: Path) -> None:
    model = _bundle(tmp_path, json.dumps({"card": CARD}))
    save_checkpoint(model, nn.Linear(1, 1))
    with pytest.raises(CrossDError, match=r"model\.pt has none, and lies in no bundle.*train\.json"):
        read_card(model)


def test_no_card(tmp_path: Path) -> None:
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / "x.pt")
    with pytest.raises(CrossDError, match=r"must say what its network is, in a card; .*x\.pt has none"):
        read_card(tmp_path / "x.pt")
    with pytest.raises(CrossDError, match=r"A bundle's metadata is JSON; .*metadata\.json is not.*Repair it"):
        read_card(_bundle(tmp_path, "{"))


BROKEN = [
    ("format", 2, "`format` of a checkpoint's card must be 1, the only one this version reads; the card has 2"),
    ("task", "ranking", "`task` .* must be 'multiclass' or 'multilabel' or .*; the card has 'ranking'"),
    ("class_names", ["one"], "`class_names` .* must be a list of 2 or more distinct names"),
    ("class_names", ["same", "same"], "`class_names` .* distinct names"),
    ("negative_class", 2, "`negative_class` .* must be an index of class_names or null; the card has 2"),
    ("network", None, "`network` .* must be the keyword arguments of a network"),
    ("network.num_classes", 3, "`network.num_classes` .* must be 2, the number of class_names; the card has 3"),
    ("network.in_channels", 3, "`network.in_channels` .* must be 1, the number of input.channels; the card has 3"),
    ("input", None, "`input` .* must be a dictionary"),
    ("input.channels", [], "`input.channels` .* must be a list of channel names"),
    ("input.plane", "oblique", "`input.plane` .* must be 'axial' or .*; the card has 'oblique'"),
    ("input.spacing", [1, 1], r"`input.spacing` .* three positive numbers \(mm\) or null; the card has \[1, 1\]"),
    (
        "input.roi_size",
        [64, 64, 0],
        r"`input.roi_size` .* three positive whole numbers \(voxels\), or null for the whole",
    ),
    ("input.intensity", None, "`input.intensity` .* must be a dictionary of mode, lower and upper"),
    ("input.intensity.mode", "hu", "`input.intensity.mode` .* must be 'range' or 'window' or 'percentile'"),
    ("input.intensity.lower", 300, "`input.intensity` .* must be two numbers, lower < upper"),
    ("input.intensity.mode", "range", "`input.intensity` .* must be without lower and upper for mode 'range'"),
    ("input.mean", "0", "`input.mean` .* must be a number, or one per channel; the card has '0'"),
    ("input.std", 0, "`input.std` .* must be positive: a number, or one per channel; the card has 0"),
    ("format", True, "`format` .* must be 1, the only one this version reads; the card has True"),
    ("negative_class", True, "`negative_class` .* must be an index of class_names or null; the card has True"),
    ("negative_class", "aneurysm", "`negative_class` .* must be an index of class_names or null"),
    ("network.spatial_dims", "3", "`network.spatial_dims` .* must be 2 or 3; the card has '3'"),
    ("network.in_channels", True, "`network.in_channels` .* must be 1, the number of input.channels"),
    ("network", {3: "spatial_dims"}, "`network` .* must be the keyword arguments of a network, by name"),
    ("input.channels", [1], r"`input.channels` .* must be a list of channel names; the card has \[1\]"),
    ("crossd_version", 1, "`crossd_version` .* must be a text; the card has 1. Correct it"),
    ("data", ["made"], r"`data` .* must be a text; the card has \['made'\]"),
    ("encoder", {}, "`encoder` .* must be a text; the card has {}"),
    ("intended_use", False, "`intended_use` .* must be a text; the card has False"),
    ("metrics", 0.9, "`metrics` .* must be a dictionary of numbers by name; the card has 0.9"),
    ("pseudo_3d", 4, "`pseudo_3d` .* must be a dictionary of numbers by name; the card has 4"),
    ("input.pseudo_3d", [4], "`input.pseudo_3d` .* must be a dictionary"),
    ("finding_codes", {"aneurysm": "85659009"}, "`finding_codes` .* must be .code value, coding scheme, meaning. by"),
    ("metrics", {"auc": "high"}, "`metrics` .* must be a dictionary of numbers by name; the card has {'auc': 'high'}"),
    ("input.mean", 10**400, "`input.mean` .* must be a number"),
    ("network.width", "8", "`network.width` .* must be a positive whole number; the card has '8'"),
    ("network.conv1_t_stride", 0, "`network.conv1_t_stride` .* must be a positive whole number; the card has 0"),
    ("network.motion", 3, "`network.motion` .* must be a text; the card has 3"),
    ("further", {"auc": float("nan")}, "card must be plain JSON; the card is not: .*Convert that value"),
]


@pytest.mark.parametrize(("path", "value", "message"), BROKEN, ids=[f"{path}={value}" for path, value, _ in BROKEN])
def test_broken_rules(path: str, value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(CrossDError, match=message):
        check_card(_changed(path, value))
    with pytest.raises(CrossDError, match="card"):
        save_checkpoint(tmp_path / "x.pt", nn.Linear(1, 1), _changed(path, value))
    assert not (tmp_path / "x.pt").exists()


NUMBER = {**CARD, "task": "regression", "class_names": ["ml"], "negative_class": None}
NUMBER |= {"network": {**CARD["network"], "num_classes": 1}, "target": {"mean": 3.0, "scale": 0.5}}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("class_names", ["ml", "mm"], "`class_names` .* must be the one name of the number that a regression predicts"),
        ("negative_class", 0, "`negative_class` .* must be null, for a regression has no classes; the card has 0"),
        ("target", None, "`target` .* must be a dictionary of mean and scale, for a regression; the card has None"),
        ("target.mean", float("nan"), r"`target\.mean` .* must be a number; the card has nan"),
        ("target.scale", 0, r"`target\.scale` .* must be a positive number; the card has 0"),
    ],
)
def test_a_regression_names_one_number_and_what_it_was_like(path: str, value: Any, message: str) -> None:
    assert check_card(NUMBER) == NUMBER
    with pytest.raises(CrossDError, match=message):
        check_card(_changed(path, value, NUMBER))


def test_the_file_with_the_broken_card_is_named(tmp_path: Path) -> None:
    torch.save({"model": nn.Linear(1, 1).state_dict(), "card": _changed("format", 0)}, tmp_path / "x.pt")
    with pytest.raises(CrossDError, match=r"`format`.*x\.pt has 0"):
        read_card(tmp_path / "x.pt")
    with pytest.raises(CrossDError, match="`card` of a checkpoint's card must be a dictionary"):
        check_card(["no card"])


WRONG = [None, True, -1, 2.5, float("nan"), "", "text", [], [None], [[]], {}, {"a": 1}, {1: 2}, (), object()]


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "segmentation", "self_supervised"])
def test_whatever_stands_in_a_card_it_is_kept_or_refused_in_words(task: str) -> None:
    """No sentence of a card, of whatever type, meets anything but a rule."""
    valid = {**copy.deepcopy(CARD), "task": task}
    if task == "self_supervised":
        valid |= {"class_names": [], "negative_class": None}
        del valid["network"]["num_classes"]
    elif task == "segmentation":
        valid["label_values"] = [0, 1]
        valid["network"]["out_channels"] = valid["network"].pop("num_classes")
    check_card(valid)
    paths = [*valid, *(f"{part}.{name}" for part in ("network", "input") for name in valid[part])]
    paths += [f"input.intensity.{name}" for name in ("mode", "lower", "upper")]
    paths += ["encoder", "pseudo_3d", "input.pseudo_3d", "finding_codes", "intended_use", "label_values"]
    refused = 0
    for path in paths:
        for value in [*WRONG, torch.ones(2)]:
            try:
                json.dumps(check_card(_changed(path, value, valid)), allow_nan=False)
            except CrossDError as error:
                assert "card" in str(error)  # noqa: PT017 - all of them are looked at
                refused += 1
    assert refused > 200


def test_masks_are_made_in_windows() -> None:
    card = _changed("input.roi_size", None, {**copy.deepcopy(CARD), "task": "segmentation", "label_values": [0, 1]})
    card["network"]["out_channels"] = card["network"].pop("num_classes")
    with pytest.raises(CrossDError, match=r"`input.roi_size` .* three positive whole numbers \(voxels\); the card has"):
        check_card(card)


def test_the_bundles_own_model_is_known_by_what_decides_and_measures_its_answers() -> None:
    metadata = {"card": OF_0_1_0, "name": "a bundle"}
    assert is_bundles_own(copy.deepcopy(OF_0_1_0), metadata)
    assert is_bundles_own({**OF_0_1_0, "crossd_version": "9", "intended_use": "mine"}, metadata)
    for entry, value in (
        ("input", {**OF_0_1_0["input"], "spacing": None}),
        ("negative_class", None),
        ("metrics", {}),
        ("data", "other"),
        ("class_names", ["aneurysm", "healthy"]),
        ("network", {**OF_0_1_0["network"], "width": 8}),
    ):
        assert not is_bundles_own({**OF_0_1_0, entry: value}, metadata)
    for nothing in ({}, {"card": None}, {"card": {}}, {"card": "text"}):
        assert not is_bundles_own({}, nothing)
