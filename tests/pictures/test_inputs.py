"""Pictures from the command line: a checkpoint and a data set in, three files out."""

from __future__ import annotations

import logging
import runpy
import sys

import numpy as np
import pytest
import torch
from crossd.checkpoints import save_checkpoint
from crossd.errors import CrossDError
from crossd.networks import CrossDResNet
from crossd.pictures import predicted_motions
from crossd.pictures.motions import evenly, moving_network, sample_images
from PIL import Image

NARROW = {"depth": 10, "width": 4, "conv1_t_size": 3, "no_max_pool": True}
SEEN = {"channels": ["image"], "plane": "acquired", "spacing": None, "roi_size": [1, 16, 16]}
SEEN |= {"intensity": {"mode": "range"}, "mean": 0.5, "std": 0.25}


@pytest.fixture(params=[2, 3])
def checkpoint(request, tmp_path):
    torch.manual_seed(0)
    network = CrossDResNet(request.param, 1, 2, **NARROW)
    arguments = {"spatial_dims": request.param, "in_channels": 1, "num_classes": 2, **NARROW}
    card = {"format": 1, "task": "multiclass", "class_names": ["a", "b"], "negative_class": None}
    card |= {"network": arguments, "input": SEEN, "data": "", "metrics": {}}
    save_checkpoint(tmp_path / "model.pt", network, card)
    return tmp_path / "model.pt"


@pytest.fixture
def images(tmp_path):
    arrays = {}
    for split, count in (("train", 12), ("val", 4)):
        arrays[f"{split}_labels"] = np.arange(count) % 2
        arrays[f"{split}_images"] = np.stack([np.full((16, 16), 255 * (k % 2), np.uint8) for k in range(count)])
    np.savez(tmp_path / "images.npz", **arrays)
    return tmp_path / "images.npz"


def test_the_network_predicts_whatever_it_was_trained_on(checkpoint):
    network, card = moving_network(checkpoint)
    assert not network.training
    assert (network.conv1.spatial_dims, network.conv1.alignment) == (2, "dynamic")
    assert card["input"] == SEEN
    assert len(predicted_motions(network, [torch.randn(2, 1, 16, 16)])["conv1"]) == 2


def test_images_are_of_all_classes_and_normalised_as_the_card_says(checkpoint, images):
    _, card = moving_network(checkpoint)
    sample = sample_images(images, card, 6)
    assert sample.shape == (6, 1, 16, 16)
    torch.testing.assert_close(sample[:3], torch.full((3, 1, 16, 16), -2.0))
    torch.testing.assert_close(sample[3:], torch.full((3, 1, 16, 16), 2.0))
    assert len(sample_images(images, card, 100)) == 16


def test_unreadable_images_are_left_out_and_named(tmp_path, caplog):
    for number, label in enumerate("aabb"):
        (tmp_path / label).mkdir(exist_ok=True)
        Image.new("L", (9, 9), number).save(tmp_path / label / f"{number}.png")
    (tmp_path / "a" / "bad.png").write_bytes(b"nothing")
    card = {"input": SEEN}
    with caplog.at_level(logging.WARNING):
        assert sample_images(tmp_path, card, 10).shape == (4, 1, 16, 16)
    assert "1 of 5 images cannot be read and are left out: a/bad.png (UnidentifiedImageError: " in caplog.text
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(CrossDError, match=r"must be readable, got none of 3; the first: .*, a/0\.png, .*Repair them"):
        sample_images(tmp_path, card, 3)


@pytest.mark.parametrize(("total", "count"), [(100, 12), (12, 100), (7, 5), (5, 1), (1, 3)])
def test_never_more_than_asked_for(total, count):
    chosen = evenly(total, count)
    assert len(chosen) == min(total, count)
    assert chosen == sorted({*chosen})
    assert (chosen[0], chosen[-1] < total) == (0, True)
    with pytest.raises(CrossDError, match=r"At least one image is shown, got a number of 0\. Pass 1"):
        evenly(total, 0)


@pytest.mark.slow
def test_the_script_writes_three_pictures(root, checkpoint, images, tmp_path, monkeypatch, capsys):
    arguments = [str(checkpoint), "--images", str(images), "--output_dir", str(tmp_path / "out"), "--frames", "2"]
    monkeypatch.setattr(sys, "argv", ["plot_kernels.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(root / "scripts" / "plot_kernels.py"), run_name="__main__")
    assert ended.value.code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["kernels.png", "motions.png", "moving.gif"]
    assert "animated: " in capsys.readouterr().out
    assert Image.open(tmp_path / "out" / "moving.gif").n_frames <= 2
    monkeypatch.setattr(sys, "argv", ["plot_kernels.py", *arguments, "--layer", "conv9"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(root / "scripts" / "plot_kernels.py"), run_name="__main__")
    assert ended.value.code == 1
    assert "error: `layer` must be one of 'conv1'" in capsys.readouterr().err


def test_checkpoints_without_a_card_are_refused(tmp_path):
    save_checkpoint(tmp_path / "bare.pt", CrossDResNet(2, 1, 2, **NARROW))
    with pytest.raises(CrossDError, match=r"in a card; .*bare.pt has none"):
        moving_network(tmp_path / "bare.pt")
