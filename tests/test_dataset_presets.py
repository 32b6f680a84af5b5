"""Presets and guide of the named data sets: each parses from anywhere, names what training knows, is in the table."""

from __future__ import annotations

import os

import pytest
import yaml
from crossd.data.preprocessing import preprocessing
from crossd.data.sets import DATASETS
from crossd.options import refuse_unknown
from monai.bundle import ConfigParser

from scripts.maintain.guide_table import guide_table

from .configs import workflow

PRESETS = sorted(dataset.facts.preset for dataset in DATASETS.values() if dataset.facts.preset)


def test_every_set_of_volumes_has_its_preset(root):
    assert sorted(path.name for path in (root / "configs" / "datasets").iterdir()) == PRESETS
    assert len(set(PRESETS)) == len(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset(name, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = root / "configs" / "datasets" / name
    own = yaml.safe_load(path.read_text(encoding="utf-8"))
    refuse_unknown("train", own)
    facts = next(dataset.facts for dataset in DATASETS.values() if dataset.facts.preset == name)
    assert own.get("classes") == (list(facts.class_names) or None)
    if "classes" in own:
        assert own["negative_class"] in (None, *facts.class_names)
    parser = ConfigParser()
    parser.read_config([str(root / "configs" / "train.json"), str(path)])
    parser["weights"] = "none"
    card = {key: parser.get_parsed_content(key) for key in ("plane", "spacing", "intensity", "mean", "std")}
    preprocessing({**card, "channels": ["image"]})  # refuses what it cannot do
    roi = parser.get_parsed_content("roi_size")
    assert all(isinstance(size, int) and size >= 24 for size in roi)
    if facts.paper is not None and card["spacing"] is None and name != "busv.yaml":
        assert sorted(roi) == sorted(facts.paper.size[1:])


def test_relative_names_from_the_repository(root, monkeypatch, tmp_path):
    """As the guide writes it: both files relative to the working directory."""
    monkeypatch.chdir(root)
    made = workflow("configs/train.json", "configs/datasets/brats21.yaml", output_dir=tmp_path, weights="none")
    assert made.parser.get_parsed_content("roi_size") == [96, 96, 96]
    assert os.listdir(tmp_path) == []


def test_the_guide_has_the_table(root):
    page = (root / "docs" / "guide" / "datasets.md").read_text(encoding="utf-8")
    assert guide_table() in page, "run `python -m scripts.maintain.guide_table` and paste it"


def test_where_a_label_means_something_else_the_guide_says_so(root):
    page = (root / "docs" / "guide" / "datasets.md").read_text(encoding="utf-8")
    section = page.split("## Where a label is not what the paper says")[1]
    assert "**BraTS21.**" in section
    assert "MGMT" in DATASETS["brats21"].facts.meaning
    assert DATASETS["brats21"].facts.meaning.startswith("Not ")
