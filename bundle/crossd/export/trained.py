"""What is exported, the plain network of a checkpoint, and whether an export computes what it computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crossd.cards.after_image import beside_network
from crossd.cards.tasks import TASKS
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
        one_size: whether an export of it takes volumes of the card's window only, in batches of any size.
    """

    original: nn.Module
    network: nn.Module
    card: dict[str, Any]
    weights: Path
    bundle: Path

    @property
    def one_size(self) -> bool:
        return hasattr(self.network, "joins")

    @property
    def unit(self) -> float:
        """What outputs are compared in: 1 for logits, for a number the size of those it was trained on."""
        target = self.card.get("target")
        return 1.0 if target is None else abs(target["mean"]) + target["scale"]

    @property
    def examples(self) -> list[Tensor]:
        """Volumes by which the export is compared with the network."""
        return examples(self.card["input"], self.one_size)

    @classmethod
    def read(cls, weights: str | Path, bundle: str | Path) -> Trained:
        """Build the network of a checkpoint, load it whole, and fold it.

        Raises:
            CrossDError: for what is no checkpoint of a classifier with a card, a network of images, one whose kernels
                depend on the input, and a `MultiView` without a window.
        """
        card = read_card(weights)
        if card["task"] not in TASKS:
            raise CrossDError(
                f"Exports are models with one answer a volume, task {' or '.join(TASKS)}; the card of {weights} says "
                f"{card['task']}. Fine-tune it with configs/train.json, or fold it and call torch.onnx.export yourself."
            )
        if beside := beside_network(card):
            raise CrossDError(
                f"An export is a network, and the model of {weights} has {beside} after it. Run it by crossd predict, "
                "or make it without: no --covariates, --calibration temperature."
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
        made = cls(original, fold(original), card, Path(weights), Path(bundle))
        if made.one_size and card["input"]["roi_size"] is None:
            raise CrossDError(
                f"An export of {type(original).__name__} takes volumes of one size, that of the window; the card of "
                f"{weights} says roi_size null, whole volumes. Train with a window by --roi_size, or run it as PyTorch."
            )
        return made


Forward = Callable[[Tensor], Tensor]
TOLERANCE = 1e-4  # of logits; float32 sums in another order differ by about 1e-6 of their size
WHOLE = (64, 64, 64)  # an example of what a model of whole volumes sees


def examples(card_input: dict[str, Any], one_size: bool = False) -> list[Tensor]:
    """Noise of the intensities that the network sees: a window, and batches of other sizes, odd and uneven.

    Of whole volumes a window of 48 voxels a side stands for it; with `one_size` all are as large as the window. Apart
    from it none is larger than it, or than 48 voxels, by more than 3 voxels a side.

    >>> window = {"channels": ["ct"], "roi_size": [64, 64, 32], "mean": 0.5, "std": 0.25}
    >>> [tuple(volume.shape) for volume in examples(window)]
    [(1, 1, 64, 64, 32), (2, 1, 36, 24, 24), (3, 1, 27, 51, 17)]
    """
    channels, roi = len(card_input["channels"]), [int(size) for size in card_input["roi_size"] or WHOLE]
    depth, height, width = (max(8, min(size, 48)) for size in roi)
    uneven = (depth * 3 // 4, height // 2, width * 3 // 4)
    odd = (depth // 2 + 3, height + 3, width // 2 + 1)
    generator = torch.Generator().manual_seed(0)
    mean, std = (torch.tensor(card_input[name], dtype=torch.float32).reshape(-1, 1, 1, 1) for name in ("mean", "std"))
    sizes = [roi, roi, roi] if one_size else [roi, uneven, odd]
    shapes = [(batch, channels, *size) for batch, size in enumerate(sizes, 1)]
    return [(torch.rand(shape, generator=generator) - mean) / std for shape in shapes]


@torch.no_grad()
def differences_of_batches(
    network: nn.Module, exported: Forward, volumes: list[Tensor], name: str = "export", unit: float = 1.0
) -> list[tuple[tuple[int, ...], float]]:
    """The largest difference of logits for each batch, once all of them are within the tolerance.

    Args:
        network, exported: what is compared, on the volumes.
        name: of the format.
        unit: of outputs, in which differences are measured; see `Trained.unit`.

    Returns:
        For each batch its shape and `max |exported - network|`.

    Raises:
        CrossDError: when one of them exceeds `TOLERANCE`, is not a number, or the export cannot run the batch.

    >>> network = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten()).eval()
    >>> differences_of_batches(network, lambda volume: network(volume) + 0.5, [torch.zeros(1, 2, 4, 4, 4)], "onnx")
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: An export gives the network's logits to 1e-04; the onnx export is off by 5.0e-01 for \
1×2×4×4×4. Nothing was written; export to another format.
    """
    found = []
    for volume in volumes:
        shape = "×".join(map(str, volume.shape))
        expected = network(volume)
        if not expected.isfinite().all():
            raise CrossDError(
                f"An export is compared with finite logits; the network gives {expected.flatten()[:4].tolist()} for "
                f"noise of {shape}. Check the checkpoint, and the mean and std of its card."
            )
        try:
            actual = exported(volume)
        except Exception as error:  # every runtime has exceptions of its own
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            raise CrossDError(
                f"An export takes any batch and volume size; the {name} export fails for {shape}: "
                f"{type(error).__name__}: {reason}. Nothing was written; export to another format."
            ) from error
        difference = float("inf")
        if actual.shape == expected.shape:
            difference = float((actual.to(expected.dtype) - expected).abs().max()) / unit
        if not difference <= TOLERANCE:  # NaN included
            raise CrossDError(
                f"An export gives the network's logits to {TOLERANCE:.0e}; the {name} export is off by "
                f"{difference:.1e} for {shape}. Nothing was written; export to another format."
            )
        found.append((tuple(volume.shape), difference))
    return found
