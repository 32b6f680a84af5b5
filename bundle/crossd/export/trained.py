"""What is exported: the plain network of a checkpoint, its card, and the bundle that describes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from crossd.cards.rules import CLASSIFICATION
from crossd.checkpoints import load_pretrained, read_card
from crossd.conv import fold
from crossd.errors import CrossDError
from crossd.inference import network_from_card


@dataclass(frozen=True)
class Trained:
    """A network of volumes as it is at inference.

    Attributes:
        original: the network of the card with its weights, in evaluation mode, on the CPU; `(batch, channel, depth,
            height, width)` to logits `(batch, classes)`.
        network: the same of plain convolutions, which is what is exported.
        card: of the checkpoint.
        weights: the checkpoint.
        bundle: root of the bundle whose `configs` describe it.
    """

    original: nn.Module
    network: nn.Module
    card: dict[str, Any]
    weights: Path
    bundle: Path

    @classmethod
    def read(cls, weights: str | Path, bundle: str | Path) -> Trained:
        """Build the network of a checkpoint, load it whole, and fold it.

        Raises:
            CrossDError: for what is no checkpoint of a classifier with a card, a network of images, and one whose
                kernels depend on the input.
        """
        card = read_card(weights)
        if card["task"] not in CLASSIFICATION:
            raise CrossDError(
                f"Exports are classifiers, task multiclass or multilabel; the card of {weights} says {card['task']}. "
                "Fine-tune it with configs/train.json, or fold it and call torch.onnx.export yourself."
            )
        dims = card["network"].get("spatial_dims")
        if dims != 3:
            raise CrossDError(
                f"Exports are networks of volumes, spatial_dims 3; the card of {weights} says {dims}. Fine-tune it on "
                "volumes with configs/train.json, or fold it and call torch.onnx.export yourself."
            )
        original = network_from_card(card)
        load_pretrained(original, str(weights), strict_head=True)
        original.eval().requires_grad_(False)
        return cls(original, fold(original), card, Path(weights), Path(bundle))
