"""All images of a run: each is tried once, known by its content from then on, and kept decoded where there is room."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from crossd.data.images.decoding import check_channels
from crossd.data.images.sources import ImageSource


class ImageStore:
    """Reads images by `(source, name)` and keeps up to `cache_gb` GiB of them, decoded, as 8-bit values.

    Args:
        sources: where they lie.
        channels: 1 or 3.
        cache_gb: GiB of memory.
    """

    def __init__(self, sources: Sequence[ImageSource], channels: int = 1, cache_gb: float = 4) -> None:
        self.sources = list(sources)
        self.channels = check_channels(channels)
        self.room = int(cache_gb * 2**30)
        self.kept: dict[tuple[int, str], np.ndarray] = {}

    def read(self, source: int, name: str) -> np.ndarray:
        """`(channels, height, width)` uint8; not to be written to."""
        kept = self.kept.get((source, name))
        return self.sources[source].read(name, self.channels) if kept is None else kept

    def keep(self, source: int, name: str, image: np.ndarray) -> None:
        """Keep a decoded image while there is room."""
        if image.nbytes <= self.room:
            self.kept[source, name] = image
            self.room -= image.nbytes


@dataclass(frozen=True)
class Trial:
    """What came of reading an image: a digest of its values, or why it cannot be read."""

    digest: str | None
    error: str | None


class _Trials(Dataset):
    def __init__(self, store: ImageStore, keys: Sequence[tuple[int, str]]) -> None:
        self.store = store
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[np.ndarray | None, str | None]:
        try:
            return self.store.read(*self.keys[index]), None
        except Exception as error:  # whatever one file holds, the others are read
            return None, f"{type(error).__name__}: {' '.join(str(error).split())}"


def try_images(store: ImageStore, keys: Sequence[tuple[int, str]], num_workers: int = 0) -> list[Trial]:
    """Read every image once; those that can be read are kept while there is room.

    Args:
        store: reads and keeps.
        keys: `(source, name)` of each image.
        num_workers: processes that read.

    Returns:
        One `Trial` per key. Images of equal values have equal digests, whatever files they come from.
    """
    of_key = _Trials(store, keys)
    images: Any = (of_key[index] for index in range(len(keys)))
    if num_workers:
        own = torch.Generator()  # so that the global one, which initialises networks, is not drawn from
        images = DataLoader(of_key, batch_size=None, num_workers=num_workers, collate_fn=_as_it_is, generator=own)
    trials = []
    for key, (image, error) in zip(
        keys, tqdm(images, desc="reading images", total=len(keys), disable=None), strict=True
    ):
        if image is None:
            trials.append(Trial(None, error))
            continue
        store.keep(*key, image)
        digest = hashlib.blake2b(image.tobytes(), digest_size=16, key=str(image.shape).encode())
        trials.append(Trial(digest.hexdigest(), None))
    return trials


def _as_it_is(item: Any) -> Any:
    return item
