"""A small trained-looking network of two channels, whose every weight and statistic counts."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from crossd.checkpoints import save_checkpoint
from crossd.conv import CrossDConv
from crossd.inference import network_from_card

ROOT = Path(__file__).resolve().parents[2]


def make_checkpoint(path: Path, **network: object) -> Path:
    card = json.loads((ROOT / "configs" / "metadata.json").read_text(encoding="utf-8"))["card"]
    card.pop("scope", None)  # of the shipped network
    card |= {"class_names": ["healthy", "ill", "other"], "data": "made for a test"}
    sizes = {} if "name" in network else {"depth": 10, "width": 4}
    card["network"] = {"spatial_dims": 3, "in_channels": 2, "num_classes": 3, **sizes, **network}
    card["input"] |= {
        "channels": ["t1", "t2"],
        "roi_size": [24, 32, 16],
        "spacing": None,
        "mean": [0.5, 0.25],
        "std": [0.25, 0.5],
    }
    torch.manual_seed(3)
    net = network_from_card(card)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith("running_mean"):
                value.normal_(0, 0.1)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 2)
        for module in net.modules():
            if isinstance(module, CrossDConv) and module.running_motion is not None:
                module.running_motion.normal_(0, 0.3)
        net.fc.weight.mul_(10)
    save_checkpoint(path, net, card=card)
    return path
