"""Self-supervision on images of volumes as a user runs it: pretrain_ssl_2d.json, and what volumes take over."""

from __future__ import annotations

import csv

import crossd
import nibabel
import numpy as np
import pytest
import torch
from crossd.cards.from_weights import base_card
from crossd.checkpoints import read_card, read_checkpoint
from crossd.networks import build_classifier
from monai.bundle import ConfigWorkflow

TINY = {"roi_size": [16, 16, 16], "batch_size": 2, "depth": 10, "width": 2, "epochs": 2, "tensorboard": False}
TINY |= {"progress": False, "device": "cpu", "steps_per_epoch": 3, "warmup_epochs": 0}


@pytest.fixture
def pretrain(root, tmp_path):
    torch.set_num_threads(1)
    for number in range(3):
        voxels = np.random.default_rng(number).random((20, 22, 21), dtype=np.float32)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / f"{number}.nii.gz")

    def run(name, **options):
        given = {**TINY, "volumes": str(tmp_path), "output_dir": str(tmp_path / name), **options}
        config = str(root / "configs" / "pretrain_ssl_2d.json")
        made = ConfigWorkflow(config, workflow_type="train", logging_file=False, **given)
        made.initialize()
        made.run()
        return tmp_path / name

    return run


@pytest.mark.slow
def test_a_run_leaves_a_2d_network_for_volumes_and_goes_on_after_a_kill(pretrain, root):
    folder = pretrain("out")
    card, whole = read_card(folder / "model.pt"), read_checkpoint(folder / "model.pt")["model"]
    assert (card["task"], card["encoder"], card["network"]["spatial_dims"]) == ("self_supervised", "crossd", 2)
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"loss", "invariance", "variance", "covariance"} < {*rows[0]}
    assert card["metrics"]["loss"] == pytest.approx(float(rows[1]["loss"]))
    base = base_card(str(folder / "model.pt"), str(root))
    assert base["input"]["plane"] == "axial"
    volumes = build_classifier({**base["network"], "spatial_dims": 3, "in_channels": 1, "num_classes": 3})
    assert crossd.load_pretrained(volumes, folder / "model.pt").reinitialised == ("fc.weight", "fc.bias")
    for name in ("checkpoint_0002.pt", "model.pt"):
        (folder / name).unlink()
    again = read_checkpoint(pretrain("out") / "model.pt")["model"]
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
