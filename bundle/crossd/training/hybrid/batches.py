"""What a hybrid step is given: a batch of volumes and a batch of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from monai.data import CacheDataset
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from crossd import processes
from crossd.data.images.image_files import CHANNELS
from crossd.errors import CrossDError
from crossd.training.randomness import SeededDataset, derive_seed


class ImageStream(Sampler[int]):
    """Whole shuffled passes over the images, one after another, of which each epoch takes the next piece.

    An epoch is one pass over the volumes, and there may be more or fewer images than it takes. What an epoch gets
    follows from seed and epoch alone, so that a resumed run goes on with the images that the whole run would have seen.
    What it gives are numbers `pass · images + image`, as `StreamedImages` takes them.

    Args:
        per_epoch: how many an epoch takes, in each process.
        rank, world_size: of this process, by default those of the run; the processes take turns.

    >>> stream = ImageStream(images=4, per_epoch=6)
    >>> first = list(stream)
    >>> stream.set_epoch(2)
    >>> sorted(first[:4]), sorted(first[4:] + list(stream)[:2])
    ([0, 1, 2, 3], [4, 5, 6, 7])
    """

    def __init__(
        self, images: int, per_epoch: int, seed: int = 0, rank: int | None = None, world_size: int | None = None
    ) -> None:
        if images < 1:
            raise CrossDError(f"Hybrid training needs images, got {images}. Pass --images SOURCE.")
        self.images = images
        self.per_epoch = per_epoch
        self.seed = seed
        self.rank = processes.rank() if rank is None else rank
        self.world_size = world_size or processes.process_count()
        self.epoch = 1

    def set_epoch(self, epoch: int) -> None:
        """The epoch whose piece is next, counted from 1."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.per_epoch

    def __iter__(self) -> Iterator[int]:
        first = (self.epoch - 1) * self.per_epoch * self.world_size + self.rank
        order: list[int] = []
        at = -1
        for position in range(first, first + self.per_epoch * self.world_size, self.world_size):
            turn, index = divmod(position, self.images)
            if turn != at:
                random = torch.Generator().manual_seed(derive_seed(self.seed, 2, turn))
                order, at = torch.randperm(self.images, generator=random).tolist(), turn
            yield turn * self.images + order[index]


class StreamedImages(SeededDataset):
    """The images of an `ImageStream`: one that comes again, in the same epoch or another, is changed anew.

    `SeededDataset` but for that: what is random depends on seed, pass and image only.
    """

    def _transform(self, index: int) -> Any:
        turn, image = divmod(index, len(self.data))
        self.transform.set_random_state(seed=derive_seed(self.seed, 3, turn, image))
        return CacheDataset._transform(self, image)


class PairedLoader:
    """Batches of volumes, each with a batch of images: `{"volumes": batch, "images": batch}`.

    Args:
        volumes: an epoch is one pass over it, in the order of its `DistributedSampler`.
        images: as many batches, of an `ImageStream`.

    Raises:
        CrossDError: when the two have not as many batches.
    """

    def __init__(self, volumes: DataLoader, images: DataLoader) -> None:
        if len(volumes) != len(images):
            raise CrossDError(
                f"A hybrid step takes a batch of volumes and one of images, got {len(volumes)} and {len(images)} in an "
                "epoch. Make ImageStream's per_epoch the batches of volumes times the images of a step."
            )
        self.volumes = volumes
        self.images = images

    def set_epoch(self, epoch: int) -> None:
        """What `crossd.training.SeedEpochs` calls at the start of every epoch."""
        for loader in (self.volumes, self.images):
            for part in (loader.dataset, loader.sampler):
                if hasattr(part, "set_epoch"):
                    part.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.volumes)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for volumes, images in zip(self.volumes, self.images, strict=True):
            yield {"volumes": volumes, "images": images}


class PrepareBoth:
    """What MONAI's trainer does with a batch of `PairedLoader`.

    Args:
        images: does it with the images, as `crossd.training.PrepareImages`.

    Returns of a call: volumes, the labels of both, `(images,)` and `{}`: what MONAI calls inputs, targets, args and
    kwargs, so that its `SimpleInferer` calls `network(volumes, images)`.
    """

    def __init__(self, images: Callable[..., tuple[Tensor, Tensor]]) -> None:
        self.images = images

    def __call__(
        self, batch: dict[str, Any], device: torch.device | str | None = None, non_blocking: bool = False, **_: Any
    ) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor], dict[str, Any]]:
        volumes, labels = (batch["volumes"][key].to(device, non_blocking=non_blocking) for key in ("image", "label"))
        images, of_images = self.images(batch["images"], device, non_blocking)
        return volumes, (labels, of_images), (images,), {}


def images_per_step(images_per_volume: float, batch_size: int) -> int:
    """Images of a step, from their number for each volume.

    >>> images_per_step(4, 8), images_per_step(0.5, 8)
    (32, 4)

    Raises:
        CrossDError: for a ratio that leaves less than two images.
    """
    images = round(images_per_volume * batch_size)
    if images < 2:
        raise CrossDError(
            f"A step needs two images or more, got images_per_volume {images_per_volume} for {batch_size} volumes. "
            f"Pass --images_per_volume {2 / max(batch_size, 1):g} or more."
        )
    return images


def image_channels(channels: Sequence[str]) -> int:
    """How many channels the images have: as many as the volumes, for the first layer takes both.

    >>> image_channels(["ct"])
    1

    Raises:
        CrossDError: for another number than 1 or 3.
    """
    if len(channels) not in CHANNELS:
        raise CrossDError(
            "Images and volumes of hybrid training go through one first layer, and images have 1 channel (grey) or 3 "
            f"(colour); got volumes of {len(channels)} channels: {', '.join(channels)}. Take one channel of "
            "the volumes, or train in turn: configs/pretrain_2d.json, then configs/train.json."
        )
    return len(channels)
