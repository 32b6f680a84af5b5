"""All images of a run: which are taken; each is tried once, then known by its content, and kept where there is room."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from crossd.data.images.image_files import CHANNELS
from crossd.data.images.sources import ImageSource
from crossd.errors import CrossDError, one_of


class ImageStore:
    """Reads images of 1 or 3 channels by `(source, name)` and keeps up to `cache_gb` GiB of them, decoded, 8 bits."""

    def __init__(self, sources: Sequence[ImageSource], channels: int = 1, cache_gb: float = 4) -> None:
        self.sources = list(sources)
        self.channels = one_of("channels", channels, CHANNELS)
        self.room = int(cache_gb * 2**30)
        self.kept: dict[tuple[int, str], np.ndarray] = {}

    def read(self, source: int, name: str) -> np.ndarray:
        """`(channels, height, width)` uint8; not to be written to."""
        kept = self.kept.get((source, name))
        return self.sources[source].read(name, self.channels) if kept is None else kept


@dataclass(frozen=True)
class Tried:
    """What came of reading images.

    Attributes:
        readable: which they are, as numbers of those that were given.
        digests: of the values of each of these; None where they were not read.
        skipped: rows (source, image, reason) of the others, and of images that sources lack.
    """

    readable: list[int]
    digests: list[str | None]
    skipped: list[tuple[str, str, str]]


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


def try_images(store: ImageStore, keys: Sequence[tuple[int, str]], num_workers: int = 0, check: bool = True) -> Tried:
    """Read every image `(source, name)` once; those that can be read are kept while there is room.

    Images of equal values have equal digests, whatever files they come from. Without `check` none is read, and all
    count as readable.

    Raises:
        CrossDError: when none can be read.
    """
    absent = [(str(source.path), *missing) for source in store.sources for missing in source.absent]
    if not check:
        return Tried(list(range(len(keys))), [None] * len(keys), absent)
    of_key = _Trials(store, keys)
    images: Any = (of_key[index] for index in range(len(keys)))
    if num_workers:
        own = torch.Generator()  # so that the global one, which initialises networks, is not drawn from
        images = DataLoader(of_key, batch_size=None, num_workers=num_workers, collate_fn=_as_it_is, generator=own)
    tried = Tried([], [], [])
    for number, (image, error) in enumerate(tqdm(images, desc="reading images", total=len(keys), disable=None)):
        source, name = keys[number]
        if image is None:
            tried.skipped.append((str(store.sources[source].path), name, error))
            continue
        if image.nbytes <= store.room:
            store.kept[source, name] = image
            store.room -= image.nbytes
        digest = hashlib.blake2b(image.tobytes(), digest_size=16, key=str(image.shape).encode())
        tried.readable.append(number)
        tried.digests.append(digest.hexdigest())
    if not tried.readable:
        first = ", ".join(tried.skipped[0])
        raise CrossDError(f"Some images must be readable, got none of {len(keys)}; the first: {first}. Repair them.")
    tried.skipped.extend(absent)
    return tried


def _as_it_is(item: Any) -> Any:
    return item


def limited(labels: Sequence[str], limit: int | None, seed: int = 0) -> list[int]:
    """Which images to take, so that no class has more than `limit`: chosen at random, in their order.

    >>> limited(["ct", "mr", "ct", "ct"], 1)
    [1, 2]
    >>> limited(["ct", "mr"], None)
    [0, 1]
    """
    if limit is None:
        return list(range(len(labels)))
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise CrossDError(f"limit_per_class must be a number of images, 1 or more, or null, got {limit!r}.")
    taken: Counter[str] = Counter()
    chosen = []
    for k in np.random.default_rng(seed).permutation(len(labels)).tolist():
        taken[labels[k]] += 1
        if taken[labels[k]] <= limit:
            chosen.append(k)
    return sorted(chosen)


def without_leaks(
    digests: Sequence[str | None], labels: Sequence[str], splits: Sequence[str | None]
) -> tuple[list[str | None], dict[str, int]]:
    """Take images out of train whose content, of which the digest may be unknown, is in val too.

    Returns:
        The splits, None for what is taken out, and how many images are `"duplicates"` of an earlier one, how many of
        those contents have several classes (`"contradictory"`), and how many images were taken out (`"leaking"`).

    >>> without_leaks(["x", "x", "y", "y"], ["ct"] * 4, ["train", "val", "train", "train"])
    ([None, 'val', 'train', 'train'], {'duplicates': 2, 'contradictory': 0, 'leaking': 1})
    """
    in_val = {digest for digest, split in zip(digests, splits, strict=True) if split == "val" and digest is not None}
    kept = [
        None if split == "train" and digest in in_val else split for digest, split in zip(digests, splits, strict=True)
    ]
    classes: dict[str, set[str]] = {}
    known = [(digest, label) for digest, label in zip(digests, labels, strict=True) if digest is not None]
    for digest, label in known:
        classes.setdefault(digest, set()).add(label)
    return kept, {
        "duplicates": len(known) - len(classes),
        "contradictory": sum(len(found) > 1 for found in classes.values()),
        "leaking": sum(split is None for split in kept),
    }
