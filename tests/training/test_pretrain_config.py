"""The 2D bundle as a user runs it: configs/pretrain_2d.json on tiny images, and fine-tuning on what it leaves."""

from __future__ import annotations

import contextlib
import io
import json
import logging

import crossd
import pytest
import torch
from crossd.cards.from_weights import base_card
from crossd.checkpoints import read_card, read_checkpoint, save_checkpoint
from crossd.errors import CrossDError
from crossd.inference import network_from_card
from crossd.networks import CrossDResNet, PlainResNet, build_classifier
from crossd.training import write_image_lists

from ..commands import bundle
from ..configs import csv_rows, refused, run, workflow


@pytest.fixture
def pretrain(images, small):
    def make(output_dir, **options):
        return run("pretrain_2d", **{**small, "epochs": 2, "images": images, "output_dir": output_dir, **options})

    return make


@pytest.fixture(scope="module")
def pretrained(root, images, small, tmp_path_factory):
    """The folder of a run of 8 epochs, by the command of a user in another working directory."""
    folder = tmp_path_factory.mktemp("pretrained")
    options = {**small, "epochs": 8, "images": "train_and_val", "output_dir": "out", "learning_rate": 0.01}
    options |= {"tensorboard": True, "progress": True, "network_options": "{'no_max_pool': True, 'conv1_t_size': 3}"}
    (folder / "train_and_val").symlink_to(images)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert bundle(root / "configs" / "pretrain_2d.json", cwd=folder, **options) == 0
    assert "Epoch [1/8]" in said.getvalue()  # the progress bar
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
    rows = csv_rows(pretrained / "images.csv")
    assert [sum(row["split"] == split for row in rows) for split in ("train", "val")] == [24, 12]
    assert {row["label"] for row in rows} == {"bar", "dot"}
    assert not (pretrained / "skipped.csv").exists()
    epochs = csv_rows(pretrained / "metrics.csv")
    assert [int(row["epoch"]) for row in epochs] == list(range(1, 9))
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


FINE = {"roi_size": [8, 8, 8], "batch_size": 6, "epochs": 1, "tensorboard": False}


@pytest.fixture
def finetune(volumes):
    def make(output_dir, weights, **options):
        given = {**FINE, "labels": volumes / "labels.csv", "images": volumes / "images", "weights": weights}
        return run("train", **given, output_dir=output_dir, **options)

    return make


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_a_config_that_contradicts_the_card_is_said(pretrain, pretrained, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        pretrain(tmp_path / "other", weights=str(pretrained / "model.pt"), mean=0.5, epochs=1)
    assert "its card says mean 0.3162, the run has 0.5: the weights expect the former. Leave --mean out" in caplog.text


def test_a_motion_that_contradicts_the_card_is_an_error(finetune, pretrained, tmp_path):
    refused(
        lambda: finetune(tmp_path, pretrained / "model.pt", network_options={"motion": "rotate"}),
        "Cross-D weights keep the motion they were trained with",
    )


def test_pre_training_starts_from_a_2d_model_or_a_3d_one(pretrain, pretrained, tmp_path, caplog):
    made = pretrain(tmp_path / "on", weights=str(pretrained / "model.pt"), learning_rate=1e-9, epochs=1)
    assert "its card says" not in caplog.text
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


@pytest.mark.slow
@pytest.mark.parametrize("overlay", [[], ["random_axes_2d"]], ids=["axial", "random axes"])
def test_real_weights_learn_depth_from_random_axes_alone_and_load_into_volumes(root, images, small, tmp_path, overlay):
    """I3D's kernels are constant along depth, and so is what axial projections change of them."""
    layer = {"motion": "rotate", "view": "projection", "alignment": "rest"}
    options = {**small, "depth": None, "width": None, "batch_size": 12, "epochs": 1, "network_options": layer}
    options |= {"weights": "efficientnet-lite0", "fill": "mean", "images": str(images), "output_dir": str(tmp_path)}
    run("pretrain_2d", *overlay, **options)
    base = base_card(str(tmp_path / "model.pt"), str(root))
    assert (base["network"]["variant"], base["input"]["mean"], base["input"]["std"]) == ("lite0", 0.5, 0.5)
    volumes = build_classifier({**base["network"], "spatial_dims": 3, "in_channels": 1, "num_classes": 3})
    assert crossd.load_pretrained(volumes, tmp_path / "model.pt").reinitialised == ("fc.weight", "fc.bias")
    assert bool(volumes.conv_stem.weight.std(2).max() > 1e-4) is bool(overlay)


@pytest.mark.slow
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


@pytest.mark.slow
def test_workers_do_not_change_the_result(pretrain, tmp_path):
    for workers in (0, 2):
        pretrain(tmp_path / str(workers), num_workers=workers, mixup=0.3, epochs=1)
    one, two = (read_checkpoint(tmp_path / name / "checkpoint_0001.pt")["model"] for name in "02")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_unreadable_images_are_listed_and_left_out(pretrain, make_images, tmp_path):
    made = make_images(tmp_path / "images", train=4, val=2)
    (made / "train" / "dot" / "00.png").write_bytes(b"broken")
    pretrain(tmp_path / "out", images=str(made), epochs=1)
    rows = csv_rows(tmp_path / "out" / "skipped.csv")
    assert [(row["image"], "UnidentifiedImageError" in row["reason"]) for row in rows] == [("train/dot/00.png", True)]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["images"]["unreadable"] == 1


def test_refusals_reach_the_user(pretrain, images, tmp_path):
    refused(lambda: pretrain(tmp_path, images=None), "Pre-training needs images, got none. Pass --images")
    refused(lambda: pretrain(tmp_path, image_size=0), "image_size must be a whole number of pixels, 1 or more, got 0")
    refused(lambda: pretrain(tmp_path, conv="3d"), "`conv` must be one of 'crossd', 'plain'; got '3d'")
    refused(lambda: pretrain(tmp_path, weights="no.pt"), "weights must be a checkpoint file, got no.pt")
    with pytest.raises(CrossDError, match=r"Training needs a folder for what it writes, got none\. Pass --output_dir"):
        write_image_lists(None, {})


def test_properties(images, small, tmp_path):
    assert workflow("pretrain_2d", **small, images=images, output_dir=tmp_path).check_properties() == []
