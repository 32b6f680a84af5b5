"""The 2D bundle as a user runs it: configs/pretrain_2d.json on tiny images, and fine-tuning on what it leaves."""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys

import crossd
import nibabel
import numpy as np
import pytest
import torch
from crossd.cards.from_weights import base_card
from crossd.checkpoints import read_card, read_checkpoint, save_checkpoint
from crossd.errors import CrossDError
from crossd.inference import network_from_card
from crossd.networks import CrossDResNet, PlainResNet, build_classifier
from crossd.training import write_image_lists
from monai.bundle import ConfigWorkflow

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.fixture
def workflow(root):
    def make(name="pretrain_2d", **options):
        made = ConfigWorkflow(
            str(root / "configs" / f"{name}.json"), workflow_type="train", logging_file=False, **options
        )
        made.initialize()
        return made

    return make


@pytest.fixture
def pretrain(workflow, images, small):
    def run(output_dir, **options):
        made = workflow(**{**small, "epochs": 2, "images": str(images), "output_dir": str(output_dir), **options})
        made.run()
        return made

    return run


def cause(error):
    while error is not None and not isinstance(error, CrossDError):
        error = error.__cause__
    return str(error)


def refused(run, message):
    with pytest.raises(RuntimeError) as caught:
        run()
    assert message in cause(caught.value)


@pytest.fixture(scope="module")
def pretrained(root, images, small, tmp_path_factory):
    """The folder of a run of 12 epochs, started from the command line in another working directory."""
    folder = tmp_path_factory.mktemp("pretrained")
    options = {**small, "epochs": 12, "images": "train_and_val", "output_dir": "out", "learning_rate": 0.005}
    options |= {"tensorboard": True, "progress": True, "network_options": "{'no_max_pool': True, 'conv1_t_size': 3}"}
    (folder / "train_and_val").symlink_to(images)
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", root / "configs" / "pretrain_2d.json"]
    done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, env=ONE_THREAD)
    assert done.returncode == 0, done.stderr
    assert "Epoch [1/12]" in done.stderr  # the progress bar
    return folder / "out"


def test_a_run_leaves_a_model_its_lists_and_its_metrics(pretrained, images):
    card = read_card(pretrained / "model.pt")
    assert card["class_names"] == ["bar", "dot"]
    assert card["network"] == {
        "spatial_dims": 2,
        "in_channels": 1,
        "num_classes": 2,
        "depth": 10,
        "width": 4,
        "no_max_pool": True,
        "conv1_t_size": 3,
    }
    assert (card["input"]["mean"], card["input"]["std"]) == (0.3162, 0.3213)
    assert (card["input"]["channels"], card["input"]["roi_size"]) == (["image"], [1, 16, 16])
    assert card["data"] == "train_and_val"
    assert card["metrics"]["val_balanced_accuracy"] > 0.9
    with (pretrained / "images.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [sum(row["split"] == split for row in rows) for split in ("train", "val")] == [24, 12]
    assert {row["label"] for row in rows} == {"bar", "dot"}
    assert not (pretrained / "skipped.csv").exists()
    with (pretrained / "metrics.csv").open() as file:
        epochs = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in epochs] == list(range(1, 13))
    assert float(epochs[-1]["train_loss"]) < float(epochs[0]["train_loss"])
    report = json.loads((pretrained / "metrics.json").read_text())
    assert {f"val_{name}" for name in ("precision", "recall", "f1", "balanced_accuracy", "accuracy", "loss")} <= set(
        report["metrics"]
    )
    assert report["metrics"]["val_f1"] == pytest.approx(card["metrics"]["val_f1"])
    assert report["images"]["train"] == 24
    assert list((pretrained / "tensorboard").glob("events.*"))


def test_the_card_describes_the_network(pretrained, images):
    """Rebuilt from its card alone, the model gets the validation images right."""
    card = read_card(pretrained / "model.pt")
    network = network_from_card(card)
    report = crossd.load_pretrained(network, pretrained / "model.pt", strict_head=True)
    assert not report.missing
    from crossd.data.images import CentreResizedCropd, read_corpus

    corpus = read_corpus(images)
    crop = CentreResizedCropd("image", card["input"]["roi_size"][1])
    right = 0
    for item in corpus["val"]:
        values = crop({"image": torch.from_numpy(corpus["store"].read(*item["image"]))})["image"] / 255
        logits = network.eval()(((values - card["input"]["mean"]) / card["input"]["std"])[None])
        right += int(logits.argmax()) == item["label"]
    assert right / len(corpus["val"]) == pytest.approx(card["metrics"]["val_accuracy"])


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes")
    lines = ["image,label,patient,split"]
    for case in range(8):
        voxels = np.random.default_rng(case).integers(0, 100, (8, 8, 8)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / f"c{case}.nii.gz")
        lines.append(f"c{case}.nii.gz,{'ab'[case % 2]},p{case},{'train' if case < 4 else 'val'}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


FINE = {"roi_size": [8, 8, 8], "batch_size": 2, "epochs": 1, "tensorboard": False}


@pytest.fixture
def finetune(workflow, volumes):
    def run(output_dir, weights, **options):
        made = workflow(
            "train",
            **FINE,
            labels=str(volumes / "labels.csv"),
            weights=str(weights),
            output_dir=str(output_dir),
            **options,
        )
        made.run()
        return made

    return run


def test_fine_tuning_takes_network_and_normalisation_from_the_card(finetune, pretrained, tmp_path):
    made = finetune(tmp_path, pretrained / "model.pt", trainable="head")
    card = read_card(tmp_path / "model.pt")
    assert (card["input"]["mean"], card["input"]["std"]) == (0.3162, 0.3213)
    assert card["network"] == {
        **read_card(pretrained / "model.pt")["network"],
        "spatial_dims": 3,
    }
    before, after = read_checkpoint(pretrained / "model.pt")["model"], read_checkpoint(tmp_path / "model.pt")["model"]
    for name, value in after.items():
        assert name.startswith("fc.") or torch.equal(value, before[name]), name
    batch = next(iter(made.parser.get_parsed_content("validate#dataloader")))["image"]
    low, high = (0 - 0.3162) / 0.3213, (1 - 0.3162) / 0.3213  # the card's range mode: each volume spans [0, 1]
    assert float(batch.min()) == pytest.approx(low, abs=1e-5)
    assert float(batch.max()) == pytest.approx(high, abs=1e-5)


def test_fine_tuning_from_plain_convolutions_inflates_them(pretrain, finetune, tmp_path):
    pretrain(tmp_path / "plain", conv="plain")
    card = read_card(tmp_path / "plain" / "model.pt")
    assert card["network"]["conv"] == "plain"
    network = network_from_card(card)
    assert isinstance(network, PlainResNet)
    crossd.load_pretrained(network, tmp_path / "plain" / "model.pt", strict_head=True)
    finetune(tmp_path / "fine", tmp_path / "plain" / "model.pt", trainable="head")
    assert "conv" not in read_card(tmp_path / "fine" / "model.pt")["network"]
    flat = read_checkpoint(tmp_path / "plain" / "model.pt")["model"]["layer1.0.conv1.weight"]
    stored = read_checkpoint(tmp_path / "fine" / "model.pt")["model"]["layer1.0.conv1.weight"]
    assert stored.dim() == 5
    torch.testing.assert_close(stored.sum((2, 3, 4)), flat.sum((2, 3)), atol=1e-5, rtol=1e-5)


def test_a_config_that_contradicts_the_card_is_said(finetune, pretrain, pretrained, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        pretrain(tmp_path / "same", weights=str(pretrained / "model.pt"), epochs=1)
        assert "its card says" not in caplog.text
        pretrain(tmp_path / "other", weights=str(pretrained / "model.pt"), mean=0.5, epochs=1)
    assert "its card says mean 0.3162, the run has 0.5: the weights expect the former. Leave --mean out" in caplog.text


def test_a_motion_that_contradicts_the_card_is_an_error(finetune, pretrained, tmp_path):
    refused(
        lambda: finetune(tmp_path, pretrained / "model.pt", network_options={"motion": "rotate"}),
        "Cross-D weights keep the motion they were trained with",
    )


def test_another_width_is_an_error(finetune, pretrained, tmp_path):
    refused(
        lambda: finetune(tmp_path, pretrained / "model.pt", width=8),
        "A checkpoint must fit the network it is loaded into",
    )


def test_pre_training_starts_from_a_2d_model_or_a_3d_one(pretrain, pretrained, tmp_path):
    made = pretrain(tmp_path / "on", weights=str(pretrained / "model.pt"), learning_rate=1e-9, epochs=1)
    metrics = made.evaluator.state.metrics
    assert metrics["val_accuracy"] == pytest.approx(
        read_card(pretrained / "model.pt")["metrics"]["val_accuracy"], abs=0.1
    )
    card = read_card(pretrained / "model.pt")
    arguments = {**card["network"], "spatial_dims": 3}
    volume_card = {
        **card,
        "network": arguments,
        "input": {**card["input"], "plane": "axial", "roi_size": [8, 8, 8], "mean": 0.25, "std": 0.5},
    }
    network = CrossDResNet(**arguments)
    save_checkpoint(tmp_path / "volume.pt", network, volume_card)
    pretrain(tmp_path / "from3d", weights=str(tmp_path / "volume.pt"), trainable="norms", epochs=1)
    card = read_card(tmp_path / "from3d" / "model.pt")
    assert (card["input"]["mean"], card["network"]["spatial_dims"]) == (0.25, 2)
    after = read_checkpoint(tmp_path / "from3d" / "model.pt")["model"]
    assert torch.equal(after["layer1.0.conv1.weight"], network.state_dict()["layer1.0.conv1.weight"])


@pytest.mark.parametrize("overlay", [[], ["random_axes_2d"]], ids=["axial", "random axes"])
def test_real_weights_learn_depth_from_random_axes_alone_and_load_into_volumes(root, images, small, tmp_path, overlay):
    """I3D's kernels are constant along depth, and so is what axial projections change of them."""
    layer = {"motion": "rotate", "view": "projection", "alignment": "rest"}
    options = {**small, "depth": None, "width": None, "batch_size": 12, "epochs": 1, "network_options": layer}
    options |= {"weights": "efficientnet-lite0", "fill": "mean", "images": str(images), "output_dir": str(tmp_path)}
    files = [str(root / "configs" / f"{name}.json") for name in ["pretrain_2d", *overlay]]
    made = ConfigWorkflow(files, workflow_type="train", logging_file=False, **options)
    made.initialize()
    made.run()
    base = base_card(str(tmp_path / "model.pt"), str(root))
    assert (base["network"]["variant"], base["input"]["mean"], base["input"]["std"]) == ("lite0", 0.5, 0.5)
    volumes = build_classifier({**base["network"], "spatial_dims": 3, "in_channels": 1, "num_classes": 3})
    assert crossd.load_pretrained(volumes, tmp_path / "model.pt").reinitialised == ("fc.weight", "fc.bias")
    assert bool(volumes.conv_stem.weight.std(2).max() > 1e-4) is bool(overlay)


def test_all_options_at_once(pretrain, tmp_path):
    pretrain(
        tmp_path,
        channels=3,
        mean=[0.4, 0.3, 0.2],
        std=0.3,
        mixup=0.2,
        label_smoothing=0.1,
        ema=0.9,
        schedule="cosine",
        warmup_epochs=1,
        class_weights="balanced",
        num_workers=1,
        flip_axes=[],
        network_options={"motion": "rotate", "view": "projection"},
        device="$torch.device('cpu')",
    )
    card = read_card(tmp_path / "model.pt")
    assert card["input"]["channels"] == ["red", "green", "blue"]
    assert (card["network"]["motion"], card["network"]["in_channels"]) == ("rotate", 3)
    last = read_checkpoint(tmp_path / "checkpoint_0002.pt")
    kept, averaged = last["model"]["fc.weight"], last["averaged"]["fc.weight"]
    assert not torch.equal(kept, averaged)
    best = read_checkpoint(tmp_path / "model.pt")
    if best["card"]["metrics"]["epoch"] == 2:
        assert torch.equal(best["model"]["fc.weight"], averaged)


def test_workers_do_not_change_the_result(pretrain, tmp_path):
    for workers in (0, 2):
        pretrain(tmp_path / str(workers), num_workers=workers, mixup=0.3)
    one, two = (read_checkpoint(tmp_path / name / "checkpoint_0002.pt")["model"] for name in "02")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_unreadable_images_are_listed_and_left_out(pretrain, make_images, tmp_path):
    made = make_images(tmp_path / "images", train=4, val=2)
    (made / "train" / "dot" / "00.png").write_bytes(b"broken")
    pretrain(tmp_path / "out", images=str(made), epochs=1)
    with (tmp_path / "out" / "skipped.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], "UnidentifiedImageError" in row["reason"]) for row in rows] == [("train/dot/00.png", True)]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["images"]["unreadable"] == 1


def test_refusals_reach_the_user(pretrain, images, tmp_path):
    refused(lambda: pretrain(tmp_path, images=None), "Pre-training needs images, got none. Pass --images")
    refused(lambda: pretrain(tmp_path, image_size=0), "image_size must be a whole number of pixels, 1 or more, got 0")
    refused(lambda: pretrain(tmp_path, conv="3d"), "`conv` must be one of 'crossd', 'plain'; got '3d'")
    refused(lambda: pretrain(tmp_path, weights="no.pt"), "weights must be a checkpoint file, got no.pt")
    with pytest.raises(CrossDError, match=r"Training needs a folder for what it writes, got none\. Pass --output_dir"):
        write_image_lists(None, {})


@pytest.mark.slow
def test_the_command_line_ends_with_the_message(root, tmp_path):
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", root / "configs" / "pretrain_2d.json"]
    done = subprocess.run(
        [*command, "--images", "/nowhere", "--output_dir", tmp_path],
        cwd="/",
        capture_output=True,
        text=True,
        env=ONE_THREAD,
    )
    assert done.returncode == 1
    assert (
        done.stderr.strip().splitlines()[-1].startswith("error: Images come from a folder or file that exists, got /no")
    )


def test_properties(workflow, images, small, tmp_path):
    assert workflow(**small, images=str(images), output_dir=str(tmp_path)).check_properties() == []


@pytest.mark.parametrize("name", ["pretrain_2d", "multi_gpu_pretrain_2d"])
def test_the_rules_for_configs(root, name):
    config = json.loads((root / "configs" / f"{name}.json").read_text())
    assert "import crossd" not in json.dumps(config)
    if name == "multi_gpu_pretrain_2d":
        return
    assert config["initialize"] == ["$monai.utils.set_determinism(seed=@options.seed)"]
