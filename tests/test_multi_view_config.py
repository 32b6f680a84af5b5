"""`MultiView` as a user runs it: trained, then asked by inference.json, where its window is the whole volume."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from crossd.checkpoints import read_card
from crossd.errors import CrossDError

from .commands import bundle

pytestmark = pytest.mark.slow  # whole runs

SMALL = {"weights": "none", "network": "MultiView", "epochs": 1, "tensorboard": False, "resume": False}
OPTIONS = "{'backbone':{'name':'CrossDResNet','depth':10,'width':4},'image_size':16,'volume_size':33}"


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Volumes of different sizes, of voxels of 4 × 1 × 1 mm, odd ones with a bright cube, and `labels.csv`."""
    folder = tmp_path_factory.mktemp("volumes")
    rng, lines = np.random.default_rng(0), ["image,label,split"]
    for case in range(8):
        voxels = rng.random((16 + case, 20, 10 + case // 2), dtype=np.float32)
        if case % 2:
            voxels[4:12, 5:15, 3:7] += 1
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 4, 1])), folder / f"c{case}.nii.gz")
        split = ("train", "train", "val", "test")[case // 2]
        lines.append(f"c{case}.nii.gz,{'cube' if case % 2 else 'empty'},{split}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def trained(root, volumes, tmp_path_factory):
    """The folder of a run over whole volumes."""
    folder = tmp_path_factory.mktemp("run")
    options = {**SMALL, "images": volumes, "labels": volumes / "labels.csv", "output_dir": folder}
    options |= {"roi_size": "null", "batch_size": 1, "spacing": "[4,1,1]", "network_options": OPTIONS}
    options |= {"epochs": 2, "head_epochs": 1, "warmup_epochs": 0, "layer_decay": 0.75}
    assert bundle(root / "configs" / "train.json", **options) == 0
    return folder


def test_the_network_knows_what_the_card_says_of_volumes(trained):
    card = read_card(trained / "model.pt")
    assert card["input"]["roi_size"] is None
    assert card["network"]["spacing"] == card["input"]["spacing"] == [4, 1, 1]
    assert card["network"]["background"] == pytest.approx(-card["input"]["mean"] / card["input"]["std"])


def test_whole_volumes_of_any_size_are_answered(root, volumes, trained, tmp_path):
    options = {"images": volumes, "weights": trained / "model.pt", "output_dir": tmp_path, "report": False}
    assert bundle(root / "configs" / "inference.json", **options) == 0
    cases = json.loads((tmp_path / "predictions.json").read_text())["cases"]
    assert [(case["status"], case["windows"]) for case in cases] == [("ok", 1)] * 8


def test_a_batch_has_whole_volumes_of_one_size(root, volumes, tmp_path):
    options = {**SMALL, "images": volumes, "labels": volumes / "labels.csv", "output_dir": tmp_path}
    options |= {"roi_size": "null", "batch_size": 2, "network_options": OPTIONS}
    with pytest.raises(RuntimeError) as caught:
        bundle(root / "configs" / "train.json", **options)
    error = caught.value
    while not isinstance(error, CrossDError):
        error = error.__cause__
    assert "have one size; training cases have 4: 10×20×16 (c0), 10×20×17 (c1), 11×20×18 (c2). Pass" in str(error)
