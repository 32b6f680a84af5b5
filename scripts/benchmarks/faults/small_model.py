"""The network that a fault campaign runs where none is given."""

from __future__ import annotations

from pathlib import Path


def small_model(path: Path) -> Path:
    """Write a network with random weights: reading is what is tried, not the answer."""
    import torch
    from crossd.checkpoints import save_checkpoint
    from crossd.inference import network_from_card

    shape = {"channels": ["image"], "plane": "axial", "spacing": [1.0, 1.0, 1.0], "roi_size": [32, 32, 32]}
    scale = {"intensity": {"mode": "range", "lower": None, "upper": None}, "mean": 0.5, "std": 0.5}
    card = {
        "format": 1,
        "task": "multiclass",
        "class_names": ["absent", "present"],
        "negative_class": 0,
        "input": shape | scale,
        "network": {"spatial_dims": 3, "in_channels": 1, "num_classes": 2, "depth": 10, "width": 4},
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = network_from_card(card)
        with torch.no_grad():
            network.get_parameter("fc.weight").mul_(20)  # so that other voxels have another answer
        save_checkpoint(path, network, card=card)
    return path
