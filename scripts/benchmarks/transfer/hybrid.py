"""The images that a hybrid method trains on beside the volumes, and how a run takes them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from crossd.checkpoints import load_pretrained, read_checkpoint
from crossd.data.images import CentreResizedCropd, read_corpus
from crossd.errors import CrossDError
from crossd.networks import CrossDResNet
from crossd.training import classification_loss
from crossd.training.hybrid import HybridLoss, HybridNetwork, PairedLoader, PrepareBoth, image_twin
from crossd.training.randomness import derive_seed
from crossd.training.unseen_axes import RandomThroughPlane
from monai.engines import default_prepare_batch
from monai.utils import CommonKeys
from torch import Tensor, nn
from torch.utils.data import DataLoader

from scripts.benchmarks.transfer.draws import Draws
from scripts.benchmarks.transfer.tasks import Part


@dataclass(frozen=True)
class Hybrid:
    """How a method trains on images in the steps of its volumes. No figure was looked at for any of these numbers.

    Attributes:
        network: arguments of `CrossDResNet` for the 2D network alone.
        random_axes: whether every step takes its images for axial, coronal or sagittal ones in turn.
        images_per_step: beside the recipe's batch of volumes.
        image_weight: of their loss; that of the volumes is 1.
        norm_statistics: see `crossd.training.hybrid.HybridNetwork`.
        images_per_class: the sub-sample, the first so many in an order that is fixed.
        shift: pixels by which an image is moved at most along each axis; it may be mirrored left to right too.
    """

    network: Mapping[str, Any] = field(default_factory=dict)
    random_axes: bool = False
    images_per_step: int = 32
    image_weight: float = 1.0
    norm_statistics: str = "separate"
    images_per_class: int = 600
    shift: int = 4


@dataclass(frozen=True)
class Images:
    """A sub-sample of 2D images: the images of a `Part`, and the names of their classes."""

    part: Part
    class_names: tuple[str, ...]


@lru_cache(maxsize=2)
def read_images(sources: tuple[Path, ...], image_size: int, per_class: int) -> Images:
    """The training images of 2D sources, the same sub-sample for every run.

    Args:
        sources: what `configs/pretrain_2d.json` takes as images.
        image_size: pixels a side that they are resized to.
        per_class: how many of each class.

    Raises:
        CrossDError: without sources, and as `crossd.data.images.read_corpus`.
    """
    if not sources:
        raise CrossDError(
            "Hybrid methods train on images too, got none. Pass --images FILE, the sources of the 2D pre-training."
        )
    corpus = read_corpus([str(path) for path in sources], limit_per_class=per_class, seed=0)
    middle = CentreResizedCropd("image", image_size, share=1.0)
    images, labels = [], []
    for item in corpus["train"]:
        image = torch.from_numpy(np.array(corpus["store"].read(*item["image"])))
        images.append(middle({"image": image})["image"] / 255)
        labels.append(int(item["label"]))
    part = Part(torch.stack(images), torch.tensor(labels), tuple(map(str, range(len(labels)))))
    return Images(part, tuple(corpus["class_names"]))


class ImageSide:
    """What `train_and_predict` asks of the images.

    Args:
        options: of the method.
        images: the sub-sample.
        arguments: of the 3D network, as `CrossDResNet` takes them.
        checkpoint: what the 3D network started from; the 2D network takes its batch norms' statistics, and its head
            where the classes are the same. None: random weights.
        seed: of the run.
    """

    def __init__(
        self, options: Hybrid, images: Images, arguments: Mapping[str, Any], checkpoint: Path | None, seed: int
    ) -> None:
        self.options = options
        self.images = images
        self.arguments = arguments
        self.checkpoint = checkpoint
        self.seed = seed

    def join(self, network: nn.Module) -> HybridNetwork:
        """The 3D network with its twin; the 3D one keeps its weights."""
        torch.manual_seed(derive_seed(self.seed, 3))
        assert isinstance(network, CrossDResNet)
        classes = list(self.images.class_names)
        twin = image_twin(network, self.arguments, len(classes), **self.options.network)
        if self.checkpoint is not None:
            head = twin.get_submodule("fc")
            fresh = {name: value.clone() for name, value in head.state_dict().items()}
            load_pretrained(twin, self.checkpoint)
            if (read_checkpoint(self.checkpoint).get("card") or {}).get("class_names") != classes:
                head.load_state_dict(fresh)
        return HybridNetwork(network, twin, self.options.norm_statistics, image_weight=self.options.image_weight)

    def loader(self, volumes: DataLoader, mean_std: tuple[float, float]) -> PairedLoader:
        """Each batch of volumes with a batch of images."""
        mean, std = mean_std
        part = Part((self.images.part.images - mean) / std, self.images.part.labels, self.images.part.patients)
        drawn = len(volumes) * self.options.images_per_step
        draws = Draws(part, drawn, self.options.shift, (1,), -mean / std, derive_seed(self.seed, 4))
        return PairedLoader(volumes, DataLoader(draws, self.options.images_per_step))

    def loss(self, volumes: nn.Module) -> HybridLoss:
        """Of both."""
        names = list(self.images.class_names)
        own = classification_loss(self.images.part.labels.tolist(), names, "multiclass", None)
        return HybridLoss(volumes, own, image_weight=self.options.image_weight)

    def handlers(self, network: HybridNetwork) -> list[Any]:
        """What else the trainer needs."""
        return [RandomThroughPlane(network.images, self.seed)] if self.options.random_axes else []

    @property
    def prepare(self) -> PrepareBoth:
        """From a pair of batches to the trainer's inputs and targets; the images are normalised already."""
        return PrepareBoth(_as_they_are)

    def as_json(self) -> dict[str, Any]:
        """For the stored run."""
        return {**asdict(self.options), "images": len(self.images.part.labels), "classes": len(self.images.class_names)}


def _as_they_are(batch: dict[str, Tensor], device: Any = None, non_blocking: bool = False) -> tuple[Tensor, Tensor]:
    return default_prepare_batch(  # type: ignore[return-value]
        {CommonKeys.IMAGE: batch[CommonKeys.IMAGE], CommonKeys.LABEL: batch[CommonKeys.LABEL]}, device, non_blocking
    )
