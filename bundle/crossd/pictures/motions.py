"""What each layer of a checkpoint's network predicts over a data set: the motion of its kernel, image by image."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks import eval_mode
from torch import Tensor, nn

from crossd.checkpoints import load_pretrained, read_card
from crossd.conv import CrossDConv
from crossd.data.images import CentreResizedCropd, ImageStore, open_source
from crossd.data.images.store import try_images
from crossd.errors import CrossDError
from crossd.inference import network_from_card
from crossd.motion import translation

logger = logging.getLogger(__name__)


def moving_network(checkpoint: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a checkpoint of images or volumes in 2D, with `alignment="dynamic"`, to evaluate; and its card.

    Raises:
        CrossDError: for a file that is missing, has no card, or is no Cross-D network.
    """
    card = read_card(checkpoint)
    network = network_from_card(card, spatial_dims=2, alignment="dynamic")
    load_pretrained(network, checkpoint)
    return network.eval(), card


def sample_images(source: str | Path, card: Mapping[str, Any], count: int) -> Tensor:
    """At most `count` images of a data set, evenly from all of its classes, as the network of a card sees them.

    Those that cannot be read are left out, which is logged with their names.

    Args:
        source: see `crossd.data.images.open_source`.

    Returns:
        `(images, channel, size, size)` float32.

    Raises:
        CrossDError: for a source that is not there or not as described, and when no image can be read.
    """
    seen = card["input"]
    opened = open_source(source)
    store = ImageStore([opened], len(seen["channels"]))
    records = sorted(opened.records, key=lambda record: record.label)
    names = [records[k].name for k in evenly(len(records), count)]
    tried = try_images(store, [(0, name) for name in names])
    if bad := [f"{name} ({why})" for _, name, why in tried.skipped if name in names]:
        logger.warning("%d of %d images cannot be read and are left out: %s", len(bad), len(names), "; ".join(bad))
    crop = CentreResizedCropd("image", size=seen["roi_size"][-1], share=1.0)
    images = [crop({"image": torch.from_numpy(store.read(0, names[k]))})["image"] for k in tried.readable]
    mean, std = (torch.tensor(seen[name], dtype=torch.float32).reshape(1, -1, 1, 1) for name in ("mean", "std"))
    return (torch.stack(images) / 255 - mean) / std


def evenly(total: int, count: int) -> list[int]:
    """At most `count` of so many, evenly, the first and the last among them.

    >>> evenly(100, 3), evenly(2, 3)
    ([0, 50, 99], [0, 1])
    """
    if count < 1:
        raise CrossDError(f"At least one image is shown, got a number of {count}. Pass 1 or more.")
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int)).tolist()


def moving_layers(network: nn.Module) -> dict[str, CrossDConv]:
    """The layers whose kernel can move, by name: every `CrossDConv` with `K > 1`.

    Raises:
        CrossDError: when there are none.

    >>> list(moving_layers(nn.Sequential(CrossDConv(2, 1, 2, 3), CrossDConv(2, 2, 2, 1))))
    ['0']
    """
    layers = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, CrossDConv) and module.predictor is not None
    }
    if not layers:
        raise CrossDError(
            f"Only Cross-D layers with a kernel larger than 1 move; {type(network).__name__} has none. Pass a network "
            "of Cross-D convolutions, such as crossd.CrossDResNet."
        )
    return layers


def predicted_motions(network: nn.Module, batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """The motion vectors `v = θ·k` that each layer predicts, whatever alignment it then uses.

    Args:
        network: runs in evaluation mode, and is left in the mode it was in.
        batches: `(batch, channel, *spatial)`.

    Returns:
        By layer, `(images, 3)` along (depth, height, width), in radians.

    Raises:
        CrossDError: for a network without such layers, or no images.

    >>> motions = predicted_motions(CrossDConv(2, 1, 4, 3), [torch.randn(5, 1, 9, 9)])
    >>> motions[""].shape
    torch.Size([5, 3])
    """
    layers = moving_layers(network)
    found: dict[str, list[Tensor]] = {name: [] for name in layers}

    def record(name: str, layer: CrossDConv, inputs: tuple[Tensor]) -> None:
        assert layer.predictor is not None
        found[name].append(layer.predictor(inputs[0]))

    with eval_mode(network), ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_pre_hook(partial(record, name)).remove)  # type: ignore[arg-type]
        for batch in batches:
            network(batch)
    if not all(found.values()):
        raise CrossDError(
            f"Motions are predicted from images that reach the layers; got none for {next(iter(found)) or 'it'}. Pass "
            "at least one batch."
        )
    return {name: torch.cat(parts).float().cpu() for name, parts in found.items()}


def displacement(layer: CrossDConv, motion_vectors: Tensor) -> Tensor:
    """How far a layer's kernel is moved from its rest, in the unit of its motion.

    Args:
        layer: of `motion` `"shift"` or `"rotate"`.
        motion_vectors: `(images, 3)`.

    Returns:
        `(images, 3)` along (depth, height, width): voxels for a shift, `t − (1, 1, 1)`; degrees about each axis for a
        rotation.

    >>> displacement(CrossDConv(2, 1, 1, 3), torch.tensor([[0.5, 0.0, 0.0]]))
    tensor([[ 0.0000,  0.5000, -0.5000]])
    """
    if layer.motion == "shift":
        return translation(motion_vectors) - 1
    return torch.rad2deg(motion_vectors)
