"""What the pictures are made from: a checkpoint as a 2D network that predicts motions, and images as it sees them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossd.checkpoints import load_pretrained, read_card
from crossd.data.images import CentreResizedCropd, open_source
from crossd.inference import network_from_card


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
        count: at most so many.

    Returns:
        `(images, channel, size, size)` float32.

    Raises:
        CrossDError: for a source that is not there or not as described.
    """
    seen = card["input"]
    channels = len(seen["channels"])
    opened = open_source(source)
    records = sorted(opened.records, key=lambda record: record.label)
    chosen = np.unique(np.linspace(0, len(records) - 1, min(count, len(records))).round().astype(int))
    crop = CentreResizedCropd("image", size=seen["roi_size"][-1], share=1.0)
    images = [crop({"image": torch.from_numpy(opened.read(records[k].name, channels))})["image"] for k in chosen]
    mean, std = (torch.tensor(seen[name], dtype=torch.float32).reshape(1, -1, 1, 1) for name in ("mean", "std"))
    return (torch.stack(images) / 255 - mean) / std
