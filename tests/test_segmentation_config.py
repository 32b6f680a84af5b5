"""The segmentation bundle as a user runs it: train_segmentation.json, evaluate_segmentation.json, inference_…json."""

from __future__ import annotations

import json
import shutil

import nibabel
import numpy as np
import pytest
import torch
from crossd.checkpoints import read_card, read_checkpoint

from .commands import bundle
from .configs import csv_rows, refused, run, workflow

CLASSES = "{0:'background',1:'low',4:'high'}"
SMALL = {
    "classes": {0: "background", 1: "low", 4: "high"},
    "roi_size": [8, 8, 8],
    "depth": 10,
    "width": 4,
    "network_options": {"conv1_t_size": 3, "conv1_t_stride": 1, "no_max_pool": True},
    "intensity": {"mode": "range"},
    "learning_rate": 0.02,
    "warmup_epochs": 1,
    "tensorboard": False,
}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """`images/` and `masks/` of 12 noisy volumes with a bright box (4) and a dark one (1), and `cases.csv`."""
    folder = tmp_path_factory.mktemp("masked")
    rng = np.random.default_rng(0)
    affine = np.array([[-1.5, 0, 0, 10], [0, 0, 2.0, -5], [0, 1.0, 0, 3], [0, 0, 0, 1]])
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    lines = ["image,mask,split"]
    for case in range(12):
        voxels, mask = rng.normal(100, 5, (11, 13, 10)).astype(np.float32), np.zeros((11, 13, 10), np.uint8)
        i, j = rng.integers(0, 4, 2)
        mask[i : i + 6, j : j + 6, 1:5], mask[i : i + 5, j : j + 6, 5:9] = 4, 1
        voxels[mask == 4] += 60
        voxels[mask == 1] -= 60
        for kind, data in (("images", voxels), ("masks", mask)):
            nibabel.save(nibabel.Nifti1Image(data, affine), folder / kind / f"c{case:02}.nii.gz")
        split = "train" if case < 8 else "val" if case < 10 else "test"
        lines.append(f"images/c{case:02}.nii.gz,masks/c{case:02}.nii.gz,{split}")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def train(volumes, tmp_path):
    def make(*overlays, **options):
        given = {**SMALL, "labels": volumes / "cases.csv", "epochs": 1, "output_dir": tmp_path / "out"}
        return run("train", "train_segmentation", *overlays, **{**given, **options})

    return make


@pytest.fixture(scope="module")
def trained(root, volumes, tmp_path_factory):
    """The folder of a run, by the command of a user in another working directory."""
    folder = tmp_path_factory.mktemp("trained")
    options = {**SMALL, "labels": "cases.csv", "epochs": 6, "output_dir": folder / "out", "classes": CLASSES}
    options |= {"tensorboard": True}
    files = [root / "configs" / f"{name}.json" for name in ("train", "train_segmentation")]
    assert bundle(files, cwd=volumes, **options) == 0
    return folder / "out"


def test_a_run_learns_and_leaves_what_is_needed_to_use_it(trained):
    card = read_card(trained / "model.pt")
    assert card["task"] == "segmentation"
    assert (card["class_names"], card["label_values"]) == (["background", "low", "high"], [0, 1, 4])
    assert card["network"]["name"] == "CrossDUNet"
    assert card["metrics"]["val_dice"] > 0.5
    rows = csv_rows(trained / "datalist.csv")
    assert list(rows[0]) == ["case", "image", "mask", "patient", "split"]
    assert len(rows) == 12
    assert any((trained / "tensorboard").iterdir())


def test_evaluation_on_the_test_cases_in_the_space_of_the_input(trained, volumes):
    run("train", "train_segmentation", "evaluate_segmentation", output_dir=trained, save_masks="true")
    content = json.loads((trained / "evaluation" / "metrics.json").read_text())
    rows = csv_rows(trained / "evaluation" / "cases.csv")
    assert content["splits"] == ["test"]
    assert [row["case"] for row in rows] == ["images-c10", "images-c11"]
    for row in rows:
        name = row["case"].removeprefix("images-")
        true = np.asarray(nibabel.load(volumes / "masks" / f"{name}.nii.gz").dataobj) == 4
        said = np.asarray(nibabel.load(trained / "evaluation" / "masks" / f"{row['case']}.nii.gz").dataobj) == 4
        assert float(row["dice_high"]) == pytest.approx(2 * (true & said).sum() / (true.sum() + said.sum()), abs=1e-4)
    assert content["mean_dice"]["mean"] > 0.5


def test_masks_of_new_scans_and_a_reason_for_what_is_none(trained, root, volumes, tmp_path):
    (tmp_path / "scans").mkdir()
    shutil.copy(volumes / "images" / "c11.nii.gz", tmp_path / "scans")
    (tmp_path / "scans" / "broken.nii").write_bytes(b"no scan")
    options = {"images": "scans", "weights": trained / "model.pt", "output_dir": "out"}
    assert bundle(root / "configs" / "inference_segmentation.json", cwd=tmp_path, **options) == 2
    rows = {row["case"]: row for row in csv_rows(tmp_path / "out" / "segmentations.csv")}
    assert (rows["c11"]["status"], rows["broken"]["status"]) == ("ok", "failed")
    assert "broken.nii" in rows["broken"]["reason"]
    mask, image = nibabel.load(tmp_path / "out" / rows["c11"]["mask"]), nibabel.load(tmp_path / "scans" / "c11.nii.gz")
    assert mask.shape == image.shape
    assert np.allclose(mask.affine, image.affine)
    values = np.asarray(mask.dataobj)
    assert set(np.unique(values)) <= {0, 1, 4}
    assert float(rows["c11"]["volume_ml_high"]) == pytest.approx((values == 4).sum() * 3 / 1000, abs=1e-3)


@pytest.mark.slow
def test_a_run_that_was_ended_goes_on_as_it_would_have(train, tmp_path):
    options = {"epochs": 2, "affine_prob": 0, "crops": 1}
    train(**options)
    whole = read_checkpoint(tmp_path / "out" / "checkpoint_0002.pt")
    (tmp_path / "out" / "checkpoint_0002.pt").unlink()
    train(**options)
    again = read_checkpoint(tmp_path / "out" / "checkpoint_0002.pt")
    assert all(torch.equal(value, again["model"][name]) for name, value in whole["model"].items())
    assert whole["best_score"] == again["best_score"]


@pytest.mark.parametrize(
    "options",
    [
        {"network": "segresnet", "network_options": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}},
        {
            "network": "UNet",
            "convs": "crossd",
            "network_options": {"channels": [4, 8], "strides": [2]},
        },
    ],
)
def test_any_network_of_monai(train, tmp_path, options):
    train(**options)
    assert read_card(tmp_path / "out" / "model.pt")["network"]["name"] in ("SegResNet", "UNet")


def test_several_channels_and_a_spacing(train, volumes, tmp_path):
    rows = (volumes / "cases.csv").read_text().splitlines()
    lines = ["image_1,image_2,mask,split"]
    for row in rows[1:]:
        image, mask, split = row.split(",")
        lines.append(f"{image},{image},{mask},{split}")
    (tmp_path / "two.csv").write_text("\n".join(lines) + "\n")
    options = {"images": volumes, "labels": tmp_path / "two.csv"}
    train(**options, spacing=[1.5, 1.5, 1.5])
    card = read_card(tmp_path / "out" / "model.pt")
    assert card["network"]["in_channels"] == 2
    assert card["input"]["channels"] == ["image_1", "image_2"]
    run("train", "train_segmentation", "evaluate_segmentation", **options, output_dir=tmp_path / "out")
    content = json.loads((tmp_path / "out" / "evaluation" / "metrics.json").read_text())
    assert (content["cases"], content["failed"]) == (2, {})


def test_a_bad_mask_is_refused_before_training_and_left_out_on_request(train, volumes, tmp_path):
    shutil.copytree(volumes, tmp_path / "copy")
    first, labels = tmp_path / "copy" / "masks" / "c00.nii.gz", tmp_path / "copy" / "cases.csv"
    source = nibabel.load(first)
    nibabel.save(nibabel.Nifti1Image(np.zeros(source.shape, np.uint8), source.affine), first)
    named = "Every case must be readable, got 1 of 12 that are not: images-c00"
    refused(lambda: train(labels=labels), named, "is background only")
    train(labels=labels, skip_unreadable="true")
    assert "images-c00" in (tmp_path / "out" / "skipped.csv").read_text()
    assert len(csv_rows(tmp_path / "out" / "datalist.csv")) == 11


def test_a_missing_mask_is_named(train, volumes, tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text((volumes / "cases.csv").read_text().replace("masks/c03", "masks/x03"))
    refused(lambda: train(images=volumes, labels=path), "Every mask must exist, got in", "x03")


def test_properties_that_monai_asks_for(volumes, trained, tmp_path):
    options = {**SMALL, "labels": volumes / "cases.csv", "output_dir": tmp_path}
    assert workflow("train", "train_segmentation", **options).check_properties() == []
    options = {"images": volumes / "images", "weights": trained / "model.pt", "output_dir": tmp_path}
    assert workflow("inference_segmentation", **options).check_properties() == []
