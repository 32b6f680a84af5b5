"""The 3D→2D benchmark: every row has the same network, runs are train_2d.json's, and done ones are not repeated."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from crossd.checkpoints import save_checkpoint
from crossd.errors import CrossDError
from crossd.networks import CrossDResNet

from scripts.benchmarks.transfer import volume_to_image
from scripts.benchmarks.transfer.volume_to_image import run, starts, table

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


@pytest.fixture
def runs(monkeypatch):
    """The commands that were run, each of which leaves a report."""
    commands = []

    def made(command, **_):
        given = dict(zip(command[6::2], command[7::2], strict=True))
        report = {"weights": given["--weights"], "number": len(commands)}
        (volume_to_image.Path(given["--output_dir"]) / "test").mkdir(parents=True)
        (volume_to_image.Path(given["--output_dir"]) / "test" / "metrics.json").write_text(json.dumps(report))
        commands.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(volume_to_image.subprocess, "run", made)
    return commands


def test_a_report_is_that_of_its_options_alone(tmp_path, runs):
    for name in ("images.npz", "volumes.pt", "other/images.npz", "moved/images.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("other" if "other" in name else "same")
    options = {"images": str(tmp_path / "images.npz"), "weights": str(tmp_path / "volumes.pt"), "epochs": 1, "seed": 0}
    assert run(tmp_path, tmp_path / "out", options) == {"weights": "volumes.pt", "number": 0}
    run(tmp_path, tmp_path / "out", {**options, "images": str(tmp_path / "moved/images.npz")})
    assert len(runs) == 1
    changes = {"epochs": 2, "seed": 1, "weights": "none", "trainable": "all", "image_size": 28}
    for name, value in changes.items():
        was = "'volumes.pt .*'" if name == "weights" else repr(options.get(name))
        with pytest.raises(CrossDError, match=rf"got other ones for .*out: {name} was {was} and is {value!r}\."):
            run(tmp_path, tmp_path / "out", {**options, name: value})
    for images in ("other/images.npz", "nowhere.npz"):
        with pytest.raises(CrossDError, match=r"images was 'images.npz \w{16}' and is '.*choose another --output_dir"):
            run(tmp_path, tmp_path / "out", {**options, "images": str(tmp_path / images)})
    assert len(runs) == 1
    run(tmp_path, tmp_path / "out2", {**options, "epochs": 2})
    assert len(runs) == 2
    (tmp_path / "out2" / "options.json").unlink()
    with pytest.raises(CrossDError, match=r"out2.test.metrics.json does not say its own\. Choose another"):
        run(tmp_path, tmp_path / "out2", {**options, "epochs": 2})


def test_what_failed_is_run_again_with_other_options(tmp_path, runs):
    options = {"images": str(tmp_path), "weights": "none", "epochs": 1}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "options.json").write_text(json.dumps({**options, "epochs": 2}))
    (tmp_path / "out" / "checkpoint_0001.pt").touch()
    with pytest.raises(CrossDError, match=r"epochs was 2 and is 1"):
        run(tmp_path, tmp_path / "out", options)
    (tmp_path / "out" / "checkpoint_0001.pt").unlink()
    run(tmp_path, tmp_path / "out", options)
    assert len(runs) == 1


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
    with pytest.raises(CrossDError, match=r"Every run must end well; .*other did not:(.|\n)*not there"):
        run(root, tmp_path / "other", {**options, "weights": str(tmp_path / "nothing.pt")})
