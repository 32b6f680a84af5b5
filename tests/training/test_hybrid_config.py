"""Hybrid training as a user runs it: train_hybrid.json over train.json, and what its model is good for."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
import torch
from crossd.checkpoints import read_card, read_checkpoint

from ..commands import bundle
from ..configs import csv_rows, refused, run, started
from ..drivers import kill_and_resume

pytestmark = pytest.mark.slow  # whole runs

SMALL = {"depth": 10, "width": 4, "batch_size": 4, "roi_size": [8, 8, 8], "tensorboard": False}
HYBRID = {"image_size": 16, "images_per_volume": 2, "progress": False}
STEM = {"conv1_t_size": 3, "no_max_pool": True}
LEARNING = {"epochs": 8, "learning_rate": 0.01}


@pytest.fixture
def train(images, volumes):
    def make(output_dir, *configs, **options):
        hybrid = "train_hybrid" in configs
        given = {**SMALL, "weights": "none", "epochs": 2, "network_options": STEM, "output_dir": output_dir}
        given |= {"labels": volumes / "labels.csv", ("volumes" if hybrid else "images"): volumes / "images"}
        given |= {**HYBRID, "images": images} if hybrid else {}
        return run("train", *configs, **{**given, **options})

    return make


@pytest.fixture(scope="module")
def trained(root, images, volumes, tmp_path_factory):
    """The folder of a run, by the command of a user in another working directory."""
    folder = tmp_path_factory.mktemp("hybrid")
    options = {**SMALL, **HYBRID, "tensorboard": True, "progress": True, "network_options": STEM, **LEARNING}
    options |= {"volumes": volumes / "images", "labels": volumes / "labels.csv", "images": images}
    options |= {"output_dir": folder / "out", "weights": "none"}
    files = [root / "configs" / f"{name}.json" for name in ("train", "train_hybrid")]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert bundle(files, cwd=folder, **options) == 0
    assert "Epoch [1/8]" in said.getvalue()  # the progress bar
    return folder / "out"


def test_a_run_leaves_an_ordinary_3d_classifier_and_the_curves_of_both(trained):
    card = read_card(trained / "model.pt")
    assert (card["task"], card["class_names"], card["data"]) == ("multiclass", ["cube", "empty"], "labels.csv")
    assert card["network"] == {"spatial_dims": 3, "in_channels": 1, "num_classes": 2, "depth": 10, "width": 4, **STEM}
    assert card["metrics"]["val_auc"] == 1.0
    assert not any(name.startswith(("volumes.", "images.")) for name in read_checkpoint(trained / "model.pt")["model"])
    assert {row["split"] for row in csv_rows(trained / "datalist.csv")} == {"train", "val", "test"}
    assert {row["label"] for row in csv_rows(trained / "images" / "images.csv")} == {"bar", "dot"}
    report = json.loads((trained / "metrics.json").read_text())
    assert (report["image_classes"], report["epochs"]) == (["bar", "dot"], 8)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tags: dict[str, list] = {}
    for path in (trained / "tensorboard").glob("events.*"):
        events = EventAccumulator(str(path)).Reload()
        tags |= {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    assert {"train_loss", "train_loss_2d", "train_loss_3d", "val_auc", "image_balanced_accuracy"} <= set(tags)
    for name in ("train_loss_2d", "train_loss_3d"):
        values = [event.value for event in tags[name]]
        assert np.mean(values[-4:]) < np.mean(values[:4]), name  # both learn
    assert tags["train_loss"][0].value == pytest.approx(
        tags["train_loss_2d"][0].value + tags["train_loss_3d"][0].value, rel=1e-5
    )


def test_its_model_is_evaluated_and_classifies(trained, volumes, tmp_path):
    run("train", "evaluate", output_dir=trained, bootstrap_samples=100)
    assert json.loads((trained / "evaluation" / "metrics.json").read_text())["metrics"]["auc"]["value"] > 0.9
    image = volumes / "images" / "c19.nii.gz"
    run("inference", images=image, weights=trained / "model.pt", output_dir=tmp_path, report=False)
    assert float(csv_rows(tmp_path / "predictions.csv")[0]["probability_cube"]) > 0.5


def test_without_images_loss_it_is_train_json(train, tmp_path):
    train(tmp_path / "plain", epochs=1)
    train(tmp_path / "hybrid", "train_hybrid", image_weight=0, epochs=1)
    one, two = (read_checkpoint(tmp_path / name / "checkpoint_0001.pt") for name in ("plain", "hybrid"))
    for name, value in one["model"].items():
        torch.testing.assert_close(two["model"][f"volumes.{name}"], value, atol=1e-6, rtol=1e-5, msg=name)
    assert two["best_metrics"] == pytest.approx(one["best_metrics"], rel=1e-5)


@pytest.fixture(scope="module")
def of_images(images, small, tmp_path_factory):
    """A model of images."""
    folder = tmp_path_factory.mktemp("2d")
    run("pretrain_2d", **small, network_options=STEM, epochs=1, images=images, output_dir=folder)
    return folder / "model.pt"


@pytest.mark.parametrize("statistics", ["separate", "shared"])
def test_it_starts_from_2d_weights(train, of_images, tmp_path, statistics):
    weights = read_checkpoint(of_images)["model"]
    options = {"weights": of_images, "network_options": {}, "trainable": "norms"}
    made = train(tmp_path / "out", "train_hybrid", **options, norm_statistics=statistics, epochs=1, learning_rate=1e-9)
    network = made.parser.get_parsed_content("plain_net")
    for name, value in network.volumes.state_dict().items():
        if name.endswith("conv1.weight"):
            assert torch.equal(value, weights[name]), name
    torch.testing.assert_close(network.images.fc.weight, weights["fc.weight"], atol=1e-6, rtol=0)  # the same classes
    moved = torch.equal(network.images.bn1.running_mean, network.volumes.bn1.running_mean)
    assert moved == (statistics == "shared")
    torch.testing.assert_close(network.images.bn1.weight, weights["bn1.weight"], atol=1e-6, rtol=0)
    card = read_card(tmp_path / "out" / "model.pt")
    assert (card["input"]["mean"], card["network"]["conv1_t_size"]) == (0.3162, 3)


def test_options_for_images_alone_and_random_axes(train, tmp_path):
    made = train(
        tmp_path,
        "train_hybrid",
        "random_axes_2d",
        network_options={**STEM, "motion": "rotate", "view": "projection"},
        image_network_options={"alignment": "rest"},
        num_workers=1,
        epochs=1,
    )
    network = made.parser.get_parsed_content("plain_net")
    assert (network.images.conv1.alignment, network.volumes.conv1.alignment) == ("rest", "running")
    assert not any(p.requires_grad for name, p in network.named_parameters() if "predictor" in name)


def test_images_of_several_findings_and_switches_as_the_command_line_gives_them(train, make_chest_xray14, tmp_path):
    release = make_chest_xray14(tmp_path / "nih", images=3)
    options = {"images": str(release), "epochs": 1, "tensorboard": "false", "check_images": "false", "resume": "false"}
    for weight in (1.0, 0.5):  # without resume other settings are no reason to refuse
        made = train(tmp_path / "out", "train_hybrid", **options, image_weight=weight)
    metrics = made.parser.get_parsed_content("validate_images#evaluator").state.metrics
    assert 0 <= metrics["image_auc"] <= 1
    assert made.parser.get_parsed_content("plain_net").images.fc.out_features == 14
    assert not (tmp_path / "out" / "tensorboard").exists()


@pytest.mark.timeout(600)
def test_a_killed_run_ends_as_the_whole_run(images, volumes, tmp_path):
    options = {**SMALL, **HYBRID, "weights": "none", "epochs": 4, "network_options": STEM, "width": 2}
    options |= {"labels": volumes / "labels.csv", "volumes": volumes / "images", "images": images}
    configs = ["train", "train_hybrid"]
    assert kill_and_resume(tmp_path, configs, options, runs=1, kills=2, latest=3, seed=0)[0] > 0


def test_other_images_or_settings_do_not_resume(train, trained, make_images, tmp_path):
    other = make_images(tmp_path / "images", train=5, val=2)
    refused(
        lambda: train(trained, "train_hybrid", **LEARNING, images=other),
        "A run is resumed under the settings it was started with",
    )
    refused(lambda: train(trained, "train_hybrid", **LEARNING, image_weight=0.5), ": image_weight was 1.0 and is 0.5.")


def test_what_is_missing_is_said(train, volumes, tmp_path):
    refused(lambda: train(tmp_path, "train_hybrid", images=None), "got none. Pass --images")
    refused(lambda: train(tmp_path, "train_hybrid", image_weight=0, volume_weight=0), "Weights of losses are 0 or more")
    text = (volumes / "labels.csv").read_text().replace("image,", "image_1,image_2,", 1)
    lines = text.splitlines()
    two = [lines[0], *(f"{line.partition(',')[0]},{line}" for line in lines[1:])]
    (tmp_path / "labels.csv").write_text("\n".join(two) + "\n")
    refused(
        lambda: train(tmp_path / "out", "train_hybrid", labels=str(tmp_path / "labels.csv")),
        "got volumes of 2 channels: image_1, image_2",
    )


@pytest.mark.timeout(500)
def test_two_processes_train_as_one(train, images, volumes, tmp_path):
    options = {**SMALL, **HYBRID, "batch_size": 2, "network_options": str(STEM), "epochs": 1, "weights": "none"}
    options |= {"volumes": volumes / "images", "labels": volumes / "labels.csv", "images": images}
    options |= {"output_dir": tmp_path / "two", "affine_prob": 0, "intensity_prob": 0}
    done = started("train", "train_hybrid", "multi_gpu_train", processes=2, **options)
    assert done.returncode == 0, done.stderr
    train(tmp_path / "one", "train_hybrid", epochs=1, affine_prob=0, intensity_prob=0)
    together, alone = (read_checkpoint(tmp_path / name / "checkpoint_0001.pt")["model"] for name in ("two", "one"))
    for name, value in alone.items():
        if value.is_floating_point() and not name.endswith("predictor.0.bias"):  # its gradient is rounding
            difference = float((together[name] - value).norm() / value.norm().clamp(min=0.05))
            assert difference < 0.05, (name, difference)
