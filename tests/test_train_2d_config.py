"""2D classification as a user runs it: train_2d.json over pretrain_2d.json, from any checkpoint, tested once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from crossd import CrossDConv
from crossd.checkpoints import read_checkpoint, save_checkpoint
from crossd.networks import CrossDResNet
from crossd.training import model_card
from PIL import Image

from .configs import card_input, csv_rows, refused, run

SMALL = {"depth": 10, "width": 4, "image_size": 16, "batch_size": 8, "tensorboard": False, "progress": False}
SMALL["bootstrap_samples"] = 100
STEM = {"conv1_t_size": 3, "no_max_pool": True}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Class folders with train (32), val (8) and test (12): discs and rings, of random sizes."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    radius = np.hypot(*np.mgrid[-10:10, -10:10])
    for split, count in (("train", 16), ("val", 4), ("test", 6)):
        for label in ("disc", "ring"):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                size = rng.uniform(5, 8)
                shape = (radius < size) & ((label == "disc") | (radius > size - 2))
                noisy = np.clip(200 * shape + rng.normal(30, 10, shape.shape), 0, 255)
                Image.fromarray(noisy.astype(np.uint8)).save(folder / split / label / f"{number}.png")
    return folder


@pytest.fixture
def train(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(output_dir, *overlays, **options):
        options = {**SMALL, "network_options": STEM, "images": images, "output_dir": output_dir, **options}
        return run("pretrain_2d", "train_2d", *overlays, **options)

    return make


@pytest.mark.parametrize("conv", ["crossd", pytest.param("plain", marks=pytest.mark.slow)])
def test_it_learns_and_tests_on_images_it_never_saw(train, tmp_path, conv):
    train(tmp_path / "out", conv=conv, trainable="all", epochs=8, learning_rate=0.01)
    report = json.loads((tmp_path / "out" / "test" / "metrics.json").read_text())
    assert report["cases"] == 12
    assert report["classes"] == ["disc", "ring"]
    assert report["images"] == {"test": 12, "unreadable": 0, "in_training": 0}
    assert report["conv"] == conv
    assert report["metrics"]["auc"]["value"] > 0.8
    assert {row["split"] for row in csv_rows(tmp_path / "out" / "images.csv")} == {"train", "val"}
    assert all(row["case"].startswith("test: ") for row in csv_rows(tmp_path / "out" / "test" / "predictions.csv"))


@pytest.mark.slow
def test_a_network_trained_on_volumes_is_used_on_images_with_its_weights(train, tmp_path):
    volume_network = CrossDResNet(3, 1, 3, depth=10, width=4, **STEM)
    seen = card_input(16, mean=0.4, std=0.2)
    card = model_card("multiclass", ["a", "b", "c"], {"depth": 10, "width": 4, **STEM}, seen)
    save_checkpoint(tmp_path / "volumes.pt", volume_network, card)
    made = train(tmp_path / "out", weights=str(tmp_path / "volumes.pt"), epochs=1)
    trained = read_checkpoint(tmp_path / "out" / "model.pt")
    assert trained["card"]["input"]["mean"] == 0.4
    assert trained["card"]["network"]["spatial_dims"] == 2
    names = [name for name, module in volume_network.named_modules() if isinstance(module, CrossDConv)]
    for name in names:  # weak probing: the kernels stay those of the volumes
        assert torch.equal(trained["model"][f"{name}.weight"], volume_network.get_submodule(name).weight)
    assert made.parser.get_parsed_content("network_def").fc.out_features == 2


@pytest.mark.slow
def test_random_axes_take_part(train, tmp_path):
    # raw: the view is an index, so that what it does not show gets a gradient of exactly 0, which Adam cannot enlarge
    options = {**STEM, "alignment": "raw"}
    train(tmp_path / "out", "random_axes_2d", network_options=options, trainable="all", epochs=1, weight_decay=0.0)
    train(tmp_path / "axial", network_options=options, trainable="all", epochs=1, weight_decay=0.0)

    def corners_and_sides(folder):
        weight = read_checkpoint(folder / "model.pt")["model"]["layer1.0.conv1.weight"]
        return weight[..., 0, 0, 0], weight[..., 0, 1, 1]

    corner, side = corners_and_sides(tmp_path / "out")
    axial_corner, axial_side = corners_and_sides(tmp_path / "axial")
    assert torch.equal(corner, axial_corner)  # no view reaches it: as initialised, from the same seed
    assert not torch.allclose(side, axial_side)  # coronal and sagittal views do
    refused(
        lambda: train(tmp_path / "out", network_options=options, trainable="all", epochs=1, weight_decay=0.0),
        "through_plane was 'random' and is 'axial'",
    )


def test_without_test_images_it_says_what_to_do(train, images, tmp_path):
    for split in ("train", "val"):
        (tmp_path / "alone").mkdir(exist_ok=True)
        (tmp_path / "alone" / split).symlink_to(images / split)
    refused(
        lambda: train(tmp_path / "out", images=tmp_path / "alone", epochs=1),
        "Put them in test/CLASS/, or train by configs/pretrain_2d.json alone",
    )
