"""Hybrid methods share recipe, volumes and seeds with the others; without a weight for images they are the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from crossd.checkpoints import read_checkpoint
from crossd.errors import CrossDError

from scripts.benchmarks.runs.grid import Block, Cell
from scripts.benchmarks.transfer import (
    METHODS,
    RECIPES,
    Recipe,
    Results,
    build_network,
    perform,
    recommend,
)
from scripts.benchmarks.transfer.hybrid import Hybrid, ImageSide, read_images
from scripts.benchmarks.transfer.tables import comparisons
from scripts.benchmarks.transfer.tested import Tested

from .conftest import NARROW

BLOCK = Block(Cell("solid", "full", 0.5), 0)
NAMES = [name for name, method in METHODS.items() if method.hybrid is not None]


def test_they_are_neither_recommended_nor_baselines():
    assert NAMES == ["hybrid", "hybrid-running", "hybrid-axes-projection"]
    assert not any(METHODS[name].ours or METHODS[name].baseline for name in NAMES)


@pytest.mark.parametrize("protocol", [pytest.param("full", marks=pytest.mark.slow), "probe"])
def test_without_a_weight_for_images_it_is_the_same_run(inputs, tmp_path, monkeypatch, protocol):
    block = Block(Cell("solid", protocol, 0.5), 0)
    for name, plain in (("hybrid-running", "running"), ("hybrid-axes-projection", "axes-projection")):
        off = replace(METHODS[name], hybrid=replace(METHODS[name].hybrid, image_weight=0.0))
        monkeypatch.setitem(METHODS, name, off)
        results = Results(tmp_path / f"{name}.jsonl.gz", inputs.recipe)
        assert perform(block, name, inputs, results)["val"] == perform(block, plain, inputs, results)["val"]


@pytest.mark.slow
def test_a_run_says_what_images_it_saw(inputs, tmp_path):
    results = Results(tmp_path / "runs.jsonl.gz", inputs.recipe)
    run = perform(BLOCK, "hybrid-axes-projection", inputs, results)
    assert (run["hybrid"]["images"], run["hybrid"]["classes"], run["hybrid"]["sources"]) == (24, 3, ["flat.npz"])
    assert run["hybrid"]["images_per_step"] == 32
    assert "hybrid" not in perform(BLOCK, "axes-projection", inputs, results)
    assert run["val"]["curve"] != perform(BLOCK, "axes-projection", inputs, results)["val"]["curve"]


def test_the_2d_head_is_taken_over_where_the_classes_are_the_same(inputs):
    checkpoint = inputs.pretrained["shift"]
    images = read_images(inputs.images, 16, 600)
    arguments = {"in_channels": 1, **NARROW, "alignment": "running"}
    stored = read_checkpoint(checkpoint)["model"]
    for names, taken in ((images.class_names, True), (("x", "y", "z"), False)):
        network = build_network(METHODS["hybrid-running"], checkpoint, NARROW, 2, 0)
        side = ImageSide(Hybrid(), replace(images, class_names=names), arguments, checkpoint, 0)
        joined = side.join(network)
        assert torch.equal(joined.images.fc.weight, stored["fc.weight"]) == taken
        assert joined.images.conv1.weight is network.conv1.weight
        assert torch.equal(joined.images.conv1.weight, stored["conv1.weight"])


def test_the_sub_sample_is_fixed(inputs):
    one, two = (read_images.__wrapped__(inputs.images, 16, 4) for _ in range(2))
    assert torch.equal(one.part.images, two.part.images)
    assert int(torch.bincount(one.part.labels, minlength=3).max()) <= 4
    assert 0 <= float(one.part.images.min()) <= float(one.part.images.max()) <= 1


def test_each_is_told_from_what_it_is_compared_with(tmp_path):
    """`hybrid` ranks every case rightly, `running` wrongly; `scratch` was not run, and only four seeds are shared."""
    results, cell, labels = Results(tmp_path / "runs.jsonl.gz", Recipe()), Cell("a", "probe", 0.1), np.arange(20) % 2
    for seed in range(5):
        for name, sign in (("hybrid", 1), ("running", -1)):
            if (seed, name) != (4, "running"):
                logits = np.stack([np.zeros(20), sign * (labels + 0.01 * seed)], 1)
                test = Tested(labels, logits, tuple(map(str, range(20))))
                results.write(Block(cell, seed), name, {"val": {"auc": 0.5}, "seconds": 1.0}, test)
    chosen = recommend(results, ["running"])
    table = comparisons(results, [cell], ["scratch", "running", "hybrid"], chosen)
    row = "| hybrid − running | a, probe, 10% | 4 | +1.000 (+1.000 to +1.000) | 0.001 | 0.001 |"
    assert table.splitlines()[2:] == [row]
    assert comparisons(results, [cell], ["scratch", "running"], chosen) == ""


def test_images_are_needed(inputs, tmp_path):
    with pytest.raises(CrossDError, match=r"Hybrid methods train on images too, got none\. Pass --images FILE"):
        perform(BLOCK, "hybrid", replace(inputs, images=()), Results(tmp_path / "runs.jsonl.gz", inputs.recipe))


def test_the_stored_runs_can_be_gone_on_with(root):
    assert Results(
        root / "docs" / "results" / "cpu.jsonl.gz", RECIPES["cpu"]
    ).runs()  # refused where the recipes differ
