"""MONAI's federated client runs the bundle: what a round starts from are the server's weights, and nothing else."""

from __future__ import annotations

import csv
import shutil

import nibabel
import numpy as np
import pytest
import torch
from crossd.checkpoints import save_checkpoint
from crossd.networks import CrossDResNet
from crossd.training import model_card
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics
from monai.fl.utils.exchange_object import ExchangeObject

from ..configs import card_input

pytestmark = pytest.mark.slow  # whole runs

SEEN = card_input(8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, root):
    """A bundle with a small model, and `labels.csv` of six volumes for training and four for validation."""
    folder = tmp_path_factory.mktemp("bundle")
    shutil.copytree(root / "configs", folder / "configs")
    torch.manual_seed(1)
    card = model_card("multiclass", ["empty", "cube"], {"depth": 10, "width": 4}, SEEN)
    save_checkpoint(folder / "models" / "model.pt", CrossDResNet(3, 1, 2, depth=10, width=4), card)
    rng = np.random.default_rng(0)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "split"])
        for case in range(10):
            voxels = rng.normal(100, 10, (9, 8, 8)).astype(np.float32)
            voxels[2:6, 2:6, 2:6] += 60 * (case % 2)
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / f"c{case}.nii.gz")
            writer.writerow([f"c{case}.nii.gz", ("empty", "cube")[case % 2], "train" if case < 6 else "val"])
    return folder


def client(bundle, output_dir, **options):
    given = {"labels": str(bundle / "labels.csv"), "tensorboard": False, "output_dir": str(output_dir)}
    weights = str(bundle / "models" / "model.pt")
    made = MonaiAlgo(
        bundle_root=str(bundle),
        local_epochs=1,
        send_weight_diff=False,
        train_kwargs={**given, "batch_size": 3, "trainable": "head", "learning_rate": 1e-9, **options},
        eval_kwargs={**given, "weights": weights, "split": "val", "bootstrap_samples": 100},
    )
    made.initialize({ExtraItems.CLIENT_NAME: "here"})
    return made


def other_weights(client):
    """Not those of the bundle's model."""
    state = {name: value.clone() for name, value in client.trainer.network.state_dict().items()}
    torch.manual_seed(2)
    state["fc.weight"] += torch.randn_like(state["fc.weight"])
    state["layer1.0.conv1.weight"] += 1
    return state


def test_a_round_starts_from_the_servers_weights_and_no_checkpoint(bundle, tmp_path):
    shutil.copytree(bundle / "models", tmp_path / "out")  # as after a run that was ended
    (tmp_path / "out" / "model.pt").rename(tmp_path / "out" / "checkpoint_0007.pt")
    made = client(bundle, tmp_path / "out")
    server = other_weights(made)
    made.train(ExchangeObject(weights=server))
    answer = made.get_weights()
    assert all(torch.allclose(value, server[name], atol=1e-6) for name, value in answer.weights.items())
    assert answer.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS] == 2
    assert made.trainer.state.epoch == 1
    made.train(ExchangeObject(weights=other_weights(made)))
    assert made.trainer.state.epoch == 2
    made.finalize()


def test_the_servers_weights_are_evaluated(bundle, tmp_path):
    made = client(bundle, tmp_path / "out")
    own = {name: value.clone() for name, value in made.trainer.network.state_dict().items()}
    losses = [made.evaluate(ExchangeObject(weights=state)).metrics["val_loss"] for state in (own, other_weights(made))]
    assert losses[0] != pytest.approx(losses[1], abs=1e-4)
    metrics = made.evaluate(ExchangeObject(weights=own)).metrics
    assert metrics["val_loss"] == pytest.approx(losses[0], abs=1e-6)
    assert 0 <= metrics["val_auc"] <= 1
