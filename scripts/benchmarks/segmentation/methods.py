"""The methods that are compared: which network, and what its encoder starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from crossd.checkpoints import load_pretrained, read_card
from crossd.conv.factory import LAYER_OPTIONS
from crossd.errors import one_of
from crossd.segmentation import segmentation_network
from torch import nn

from scripts.benchmarks.runs.variants import ROTATE, drop_unseen_on_all_axes
from scripts.benchmarks.segmentation.recipe import Recipe

# of the width that the recipe has: as many parameters as CrossDUNet without its predictors, to 10 %
UNET: dict[str, Any] = {"name": "UNet", "channels": [12, 24, 48, 96], "strides": [2, 2, 2], "num_res_units": 2}
SEGRESNET: dict[str, Any] = {"name": "SegResNet", "init_filters": 8, "blocks_down": [1, 1, 1, 2], "blocks_up": [1] * 3}


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Attributes:
        about: what it is, for the tables.
        pretraining: name of the checkpoint, `<pretrained>/<name>.pt`; None for random weights.
        network: a network of MONAI, as on a segmentation card; None for `CrossDUNet` of the recipe's size.
        layers: alignment, motion and view of its convolutions; what is absent is as on the checkpoint's card.
        prepare: changes the loaded encoder before training.
        learning_rate: instead of the recipe's, which is `CrossDUNet`'s; chosen likewise, by validation Dice
            (docs/results/segmentation_learning_rate).
    """

    about: str
    pretraining: str | None = None
    network: Mapping[str, Any] | None = None
    layers: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[nn.Module], Any] | None = None
    learning_rate: float | None = None


METHODS: dict[str, Method] = {
    "crossd-scratch": Method("CrossDUNet, random weights", layers={"alignment": "rest"}),
    "crossd-2d-shift": Method("the same, encoder from 2D images (published operator)", "2d-shift"),
    "crossd-2d-axes": Method(
        "the same, encoder from 2D images (random through-plane axes, projection)",
        "2d-axes",
        layers={"alignment": "rest", **ROTATE},
        prepare=drop_unseen_on_all_axes,
    ),
    "ssl-2d": Method("the same, encoder self-supervised on 2D images as pseudo-3D", "ssl-2d"),
    "ssl-3d": Method("the same, encoder self-supervised on volumes", "ssl-3d"),
    "ssl-joint": Method("the same, encoder self-supervised on both", "ssl-joint"),
    "unet": Method("MONAI's UNet, random weights", network=UNET, learning_rate=3e-3),
    "segresnet": Method("MONAI's SegResNet, random weights", network=SEGRESNET, learning_rate=3e-3),
}
"""By name, in the order of the tables. A new method is a new entry."""


def find_methods(names: list[str]) -> dict[str, Method]:
    """The entries of `METHODS` of these names, in the order of `METHODS`.

    >>> list(find_methods(["unet", "crossd-scratch"]))
    ['crossd-scratch', 'unet']
    """
    for name in names:
        one_of("method", name, METHODS)
    return {name: method for name, method in METHODS.items() if name in names}


def build_network(method: Method, checkpoint: Path | None, recipe: Recipe, classes: int, seed: int) -> nn.Module:
    """The network of a method: with its pre-trained encoder and, for the same seed, the same decoder as the others.

    Args:
        method: see there.
        checkpoint: pre-trained weights; None: random ones.
        recipe: its size.
        classes: the background among them.
        seed: of what is random.

    Raises:
        CrossDError: for a checkpoint that does not fit.
    """
    channels = {"spatial_dims": 3, "in_channels": 1, "out_channels": classes}
    torch.manual_seed(seed)
    if method.network is not None:
        return segmentation_network({"network": {**channels, **method.network}})
    layers = dict(method.layers)
    if checkpoint is not None:
        stored = read_card(checkpoint)["network"]
        flat = stored.get("spatial_dims", 3) == 2  # whose alignment is that of images
        known = {name: stored[name] for name in LAYER_OPTIONS if name in stored and not (flat and name == "alignment")}
        layers = {**known, **layers}
    options = {**recipe.network_options(), "deep_supervision": recipe.deep_supervision, **layers}
    network = segmentation_network({"network": {**channels, **options}})
    if checkpoint is not None:
        load_pretrained(network, checkpoint)
    if method.prepare is not None:
        method.prepare(network.get_submodule("encoder"))
    return network


def parameters_used(network: nn.Module) -> int:
    """How many parameters a network computes with: predictors of kernels that do not depend on the input do nothing.

    >>> parameters_used(nn.Linear(3, 2))
    8
    """
    return sum(value.numel() for name, value in network.named_parameters() if ".predictor." not in name)
