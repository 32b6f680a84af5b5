"""On real scans: a model trained on a few hippocampi tells their parts apart on patients it has not seen."""

from __future__ import annotations

import json

from crossd.data.sets import prepare_datalist
from monai.bundle import ConfigWorkflow


def test_better_than_chance_on_held_out_patients(root, shared_data, tmp_path):
    labels = prepare_datalist("hippocampusparts", shared_data / "hippocampus_msd", tmp_path / "parts", cases=40)
    options = {"labels": str(labels), "weights": "none", "roi_size": [24, 24, 24], "depth": 10, "width": 4}
    options |= {"epochs": 8, "learning_rate": 0.003, "tensorboard": False}
    files = [str(root / "configs" / "train.json"), str(root / "configs" / "evaluate.json")]
    for config, given in ((files[:1], options), (files, {"bootstrap_samples": 100})):
        run = ConfigWorkflow(
            config, workflow_type="train", logging_file=False, output_dir=str(tmp_path / "out"), **given
        )
        run.initialize()
        run.run()
    report = json.loads((tmp_path / "out" / "evaluation" / "metrics.json").read_text())
    assert (report["patients"], report["cases"]) == (6, 18)
    assert report["metrics"]["balanced_accuracy"]["low"] > 1 / 3
