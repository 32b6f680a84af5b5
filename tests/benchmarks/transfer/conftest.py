"""Small made data sets, pre-trained weights and recipes, with which a run takes a second."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crossd import CrossDResNet
from crossd.checkpoints import save_checkpoint
from monai.networks.nets import ResNet

from scripts.benchmarks.transfer import METHODS, Inputs, Recipe

NARROW = {"depth": 10, "width": 4, "conv1_t_size": 3, "conv1_t_stride": 2, "no_max_pool": True}


def made_volumes(cases: int, classes: int, dims: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise in which a class is a bright slab at another place."""
    random = np.random.default_rng(seed)
    labels = np.arange(cases) % classes
    images = random.integers(0, 60, (cases, *[12] * dims)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 150
    return images, labels


def card(dims: int, motion: str = "shift", view: str = "slice", classes: int = 3) -> dict:
    seen = {"plane": "axial", "spacing": None, "roi_size": [1, 12, 12], "intensity": {"mode": "range"}}
    seen |= {"channels": ["image"], "mean": 0.25, "std": 0.5}
    network = {**NARROW, "spatial_dims": dims, "in_channels": 1, "num_classes": classes, "motion": motion, "view": view}
    return {
        "format": 1,
        "crossd_version": "0",
        "task": "multiclass",
        "class_names": [str(i) for i in range(classes)],
        "negative_class": None,
        "network": network,
        "input": seen,
        "data": "made",
        "metrics": {},
    }


def plain_resnet(dims: int, **changes: object) -> ResNet:
    options = {"shortcut_type": "B", "bias_downsample": False, "conv1_t_size": 3, "conv1_t_stride": 2, **changes}
    return ResNet(
        "basic",
        [1] * 4,
        [4, 8, 16, 32],
        spatial_dims=dims,
        n_input_channels=1,
        num_classes=3,
        no_max_pool=True,
        **options,
    )


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Folder with medmnist/{solid,flat}.npz and pretrained/*.pt, the checkpoints that the methods start from."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "medmnist").mkdir()
    for name, classes, dims in (("solid", 2, 3), ("flat", 3, 2)):
        arrays = {}
        for seed, (split, cases) in enumerate({"train": 24, "val": 12, "test": 18}.items()):
            arrays[f"{split}_images"], labels = made_volumes(cases, classes, dims, seed)
            arrays[f"{split}_labels"] = labels[:, None]
        np.savez(folder / "medmnist" / f"{name}.npz", **arrays)
    torch.manual_seed(0)
    save_checkpoint(folder / "pretrained" / "plain.pt", plain_resnet(2), card(2))
    for method in METHODS.values():
        if method.layer == "crossd" and method.pretraining and not method.pretraining.startswith("ssl"):
            options = {name: value for name, value in method.network.items() if name in ("motion", "view")}
            network = CrossDResNet(2, 1, 3, **NARROW, **options)
            save_checkpoint(folder / "pretrained" / f"{method.pretraining}.pt", network, card(2, **options))
    encoder = {key: value for key, value in CrossDResNet(3, 1, 3, **NARROW).state_dict().items() if key[:3] != "fc."}
    unlabelled = {**card(3), "task": "self_supervised", "class_names": []}
    del unlabelled["network"]["num_classes"]
    for name in ("ssl-2d", "ssl-3d", "ssl-joint"):
        save_checkpoint(folder / "pretrained" / f"{name}.pt", encoder, unlabelled)
    return folder


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(depth=10, width=4, batch_size=4, steps={0.5: 2, 1.0: 2}, checks=2, shift=1, image_size=16)


@pytest.fixture
def inputs(made, recipe) -> Inputs:
    pretrained = {path.stem: path for path in (made / "pretrained").glob("*.pt")}
    sets = {name: made / "medmnist" / f"{name}.npz" for name in ("solid", "flat")}
    return Inputs(recipe, sets, pretrained, images=(sets["flat"],))
