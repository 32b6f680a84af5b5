"""Very many small cases, and a small model for them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from crossd.checkpoints import save_checkpoint
from crossd.data.nifti import write_nifti
from crossd.data.phantoms import vessel_phantom
from crossd.inference import network_from_card


def make_many(folder: Path, count: int, distinct: int = 200, size: int = 16) -> Path:
    """`count` files of phantoms, of which `distinct` differ; the others are hard links to them.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [folder / f"c{number:06}.nii.gz" for number in range(count)]
    for number, path in enumerate(names):
        if number < distinct:
            write_nifti(path, vessel_phantom(number // 2, bool(number % 2), size))
        else:
            os.link(names[number % distinct], path)
    return folder


def make_model(path: Path, metadata: Path, window: int = 16) -> Path:
    """A checkpoint of a small network (depth 10, width 4) with random weights: what is measured is the run around it.

    Args:
        path: of the checkpoint.
        metadata: the bundle's `metadata.json`, whose card is taken but for the network and the window.
        window: voxels of its sides.
    """
    card = json.loads(metadata.read_text(encoding="utf-8"))["card"]
    card.pop("scope", None)  # of the shipped network
    classes = len(card["class_names"])
    card["network"] = {"spatial_dims": 3, "in_channels": 1, "num_classes": classes, "depth": 10, "width": 4}
    card["input"] |= {"channels": ["image"], "spacing": None, "roi_size": [window] * 3}
    torch.manual_seed(3)
    network = network_from_card(card)
    with torch.no_grad():
        network.get_parameter("fc.weight").mul_(20)  # so that different phantoms have different probabilities
    save_checkpoint(path, network, card=card)
    return path
