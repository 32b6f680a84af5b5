"""The 3D→2D benchmark: every row has the same network, runs are train_2d.json's, and done ones are not repeated."""

from __future__ import annotations

import json

import numpy as np
import pytest
from crossd.benchmark.volume_to_image import run, starts, table
from crossd.checkpoints import save_checkpoint
from crossd.errors import CrossDError
from crossd.networks import CrossDResNet

STEM = {"conv1_t_size": 3, "no_max_pool": True}
SEEN = {"channels": ["ct"], "plane": "axial", "spacing": None, "roi_size": [16, 16, 16]}
SEEN |= {"intensity": {"mode": "range"}, "mean": 0.4, "std": 0.2}


@pytest.fixture
def checkpoint(tmp_path):
    def write(name: str, spatial_dims: int):
        network = CrossDResNet(spatial_dims, 1, 3, depth=10, width=4, **STEM)
        arguments = {"spatial_dims": spatial_dims, "in_channels": 1, "num_classes": 3, "depth": 10, "width": 4, **STEM}
        card = {"format": 1, "task": "multiclass", "class_names": ["a", "b", "c"], "negative_class": None}
        card |= {"network": arguments, "input": SEEN, "data": "", "metrics": {}}
        save_checkpoint(tmp_path / name, network, card)
        return tmp_path / name

    return write


def test_rows_share_network_and_normalisation(checkpoint):
    volumes, images = checkpoint("volumes.pt", 3), checkpoint("images.pt", 2)
    rows = starts(volumes, images)
    assert len(rows) == 4
    of_volumes = list(rows.values())[:3]
    assert {(row["depth"], row["width"], row["mean"], row["std"]) for row in of_volumes} == {(10, 4, 0.4, 0.2)}
    assert [row["weights"] for row in of_volumes] == ["none", str(volumes), str(volumes)]
    assert [row["network_options"]["view"] for row in of_volumes] == ["slice", "slice", "projection"]
    assert all(row["network_options"]["conv1_t_size"] == 3 for row in of_volumes)
    with pytest.raises(CrossDError, match=r"trained on volumes; .*images.pt is 2D"):
        starts(images)


def test_the_table_says_mean_and_spread():
    def report(auc: float) -> dict:
        metrics = {name: {"value": auc} for name in ("auc", "balanced_accuracy", "accuracy")}
        return {"metrics": metrics, "majority_rate": 0.7}

    line = table({"a row": [report(0.5), report(0.7)]}).splitlines()[2]
    assert line == "| a row | 2 | 0.600 ± 0.141 | 0.600 ± 0.141 | 0.600 ± 0.141 | 0.700 |"


@pytest.mark.slow
def test_a_run_is_train_2d_and_is_done_once(root, checkpoint, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 12), ("val", 6), ("test", 6)):
        arrays[f"{split}_labels"] = np.arange(count) % 2
        arrays[f"{split}_images"] = rng.integers(0, 255, (count, 16, 16), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", **arrays)
    options = starts(checkpoint("volumes.pt", 3))["trained on volumes, projection"]
    options |= {"images": str(tmp_path / "images.npz"), "epochs": 1, "image_size": 16, "bootstrap_samples": 100}
    first = run(root, tmp_path / "out", options)
    assert first["cases"] == 6
    assert first["weights"] == "volumes.pt"
    written = tmp_path / "out" / "test" / "metrics.json"
    written.write_text(json.dumps({**first, "cases": 7}))
    assert run(root, tmp_path / "out", options)["cases"] == 7
    with pytest.raises(CrossDError, match=r"Every run must end well; .*other did not:\n(.|\n)*not there"):
        run(root, tmp_path / "other", {**options, "weights": str(tmp_path / "nothing.pt")})
