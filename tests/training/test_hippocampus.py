"""On real scans: a model trained on a few hippocampi tells their parts apart on patients it has not seen."""

from __future__ import annotations

import json

import pytest
from crossd.data.sets import prepare_datalist

from ..configs import run


@pytest.mark.slow
def test_better_than_chance_on_held_out_patients(shared_data, tmp_path):
    labels = prepare_datalist("hippocampusparts", shared_data / "hippocampus_msd", tmp_path / "parts", cases=40)
    options = {"labels": labels, "weights": "none", "roi_size": [24, 24, 24], "depth": 10, "width": 4}
    options |= {"epochs": 8, "learning_rate": 0.003, "tensorboard": False}
    run("train", output_dir=tmp_path / "out", **options)
    run("train", "evaluate", output_dir=tmp_path / "out", bootstrap_samples=100)
    report = json.loads((tmp_path / "out" / "evaluation" / "metrics.json").read_text())
    assert (report["patients"], report["cases"]) == (6, 18)
    assert report["metrics"]["balanced_accuracy"]["low"] > 1 / 3
