"""What the pictures are made from: a checkpoint as a 2D network that predicts motions, and images as it sees them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossd.checkpoints import load_pretrained, read_card
from crossd.data.images import CentreResizedCropd, ImageStore, open_source
from crossd.data.images.store import try_images
from crossd.errors import CrossDError
from crossd.inference import network_from_card

logger = logging.getLogger(__name__)


def moving_network(checkpoint: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a checkpoint in 2D, with `alignment="dynamic"`, in evaluation mode; and the checkpoint's card.

    Args:
        checkpoint: of images or volumes, with its card.

    Raises:
        CrossDError: for a file that is missing, has no card, or is no Cross-D network.
    """
    card = read_card(checkpoint)
    network = network_from_card(card, spatial_dims=2, alignment="dynamic")
    load_pretrained(network, checkpoint)
    return network.eval(), card


def sample_images(source: str | Path, card: Mapping[str, Any], count: int) -> Tensor:
    """Images of a data set, evenly from all of its classes, as the network sees them.

    Args:
        source: see `crossd.data.images.open_source`.
        card: of the network: its channels, size and normalisation.
        count: at most so many. Those of them that cannot be read are left out, which is logged with their names.

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
    trials = dict(zip(names, try_images(store, [(0, name) for name in names]), strict=True))
    bad = [f"{name} ({trial.error})" for name, trial in trials.items() if trial.error is not None]
    if len(bad) == len(names):
        raise CrossDError(
            f"Some images must be readable, got none of {len(names)} of {source}; the first: {bad[0]}. Repair them."
        )
    if bad:
        logger.warning("%d of %d images cannot be read and are left out: %s", len(bad), len(names), "; ".join(bad))
    crop = CentreResizedCropd("image", size=seen["roi_size"][-1], share=1.0)
    images = [
        crop({"image": torch.from_numpy(store.read(0, name))})["image"]
        for name, trial in trials.items()
        if trial.error is None
    ]
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
