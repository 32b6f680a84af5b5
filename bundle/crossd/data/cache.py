"""A folder that keeps preprocessed volumes, so that the next epoch and the next run need not decode them again."""

from __future__ import annotations

import os
import tempfile
import time
import zipfile
from collections.abc import Hashable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, PersistentDataset
from monai.transforms import Compose, InvertibleTransform, MapTransform

from crossd.data.content import content_key
from crossd.data.volume import split_volume
from crossd.errors import CrossDError
from crossd.files import replaced

_STALE = 3600.0  # seconds after which a part that nobody finished is removed
_TICK = 0.1  # seconds by which times of files may be behind the clock: they are those of the last tick of the kernel


class VolumeCache(PersistentDataset):
    """MONAI's `PersistentDataset` with the metadata kept, that two processes may share and damage cannot deceive.

    Args:
        transform: deterministic, of items with entries of channel sources.
        parameters: what decides the transform, as plain JSON values.
        cache_dir: made where it does not exist.
        limit_gb: GiB. Beyond it, entries that were not used since this object was made are removed, the oldest first;
            when there are none, new ones are not kept: a set that is too large is cached in part.

    Raises:
        CrossDError: a folder that cannot be made or written.
    """

    def __init__(self, transform: Compose, parameters: Mapping[str, Any], cache_dir: str, limit_gb: float) -> None:
        folder = Path(cache_dir).expanduser().absolute()
        if not limit_gb > 0:
            raise CrossDError(f"cache_dir_gb must be positive, got {limit_gb}. For no cache leave cache_dir null.")
        try:
            hash_func = partial(_key_of, dict(parameters))
            super().__init__([], transform, folder, hash_func=hash_func, track_meta=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except (OSError, ValueError) as error:
            raise CrossDError(
                f"cache_dir must be a folder that can be written, got '{folder}' ({error}). Choose another."
            ) from error
        self.folder = folder
        self.limit = limit_gb * 2**30
        self.since = time.time() - _TICK

    def load(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """What the transform makes of an item, kept or computed."""
        return self._cachecheck(dict(item))

    def _cachecheck(self, item_transformed: dict[str, Any]) -> dict[str, Any]:
        entry = self.entry_of(item_transformed)
        kept = self.kept(entry)
        if kept is not None:
            return kept
        made = self._pre_transform(dict(item_transformed))
        self.keep(entry, made)
        return made

    def entry_of(self, item: Mapping[str, Any]) -> Path | None:
        """The file of an item; None where its sources cannot be read, of which the reader says what is wrong."""
        try:
            return self.folder / f"{self.hash_func(dict(item)).decode()}.pt"
        except (OSError, CrossDError):
            return None

    def kept(self, entry: Path | None) -> dict[str, Any] | None:
        """What is kept there; None where nothing is, or it is damaged."""
        return None if entry is None else self._read(entry)

    def keep(self, entry: Path | None, made: Mapping[str, Any]) -> None:
        """Keep what was made of an item, unless there is no room: its tensors, numbers and texts by name."""
        if entry is not None:
            self._write(entry, dict(made))

    def _read(self, entry: Path) -> dict[str, Any] | None:
        """The entry, its checksums verified (torch does not look at them); None where it is absent or damaged."""
        try:
            with open(entry, "rb") as file:
                with zipfile.ZipFile(file) as records:
                    if records.testzip() is not None:
                        return None
                file.seek(0)
                kept = torch.load(file, weights_only=True, map_location="cpu")
            os.utime(entry)
        except Exception:  # it is not there; or zipfile, zlib, pickle and torch raise one for every kind of damage
            return None
        return kept

    def _write(self, entry: Path, made: dict[str, Any]) -> None:
        """A full disk is no error, the volume is there."""
        size = sum(one.numel() * one.element_size() for one in made.values() if isinstance(one, torch.Tensor))
        with suppress(OSError, RuntimeError):
            if self._make_room(size):
                with replaced(entry, shared=True) as file:
                    torch.save(made, file)

    def _make_room(self, size: int) -> bool:
        """Remove what is not in use until so many bytes fit; whether they do."""
        entries = []
        for found in os.scandir(self.folder):
            try:
                state = found.stat()
            except FileNotFoundError:  # another process removed it
                continue
            if found.name.endswith(".part"):
                if state.st_mtime < time.time() - _STALE:
                    Path(found.path).unlink(missing_ok=True)
            elif found.name.endswith(".pt"):
                entries.append((state.st_mtime, state.st_size, found.path))
        total = sum(entry[1] for entry in entries)
        for used, held, path in sorted(entries):
            if total + size <= self.limit or used >= self.since:
                break
            Path(path).unlink(missing_ok=True)
            total -= held
        return total + size <= self.limit


class CachedVolumesd(MapTransform, InvertibleTransform):
    """The deterministic chain from sources to volumes as one transform that looks into the cache first.

    What follows it, random or kept in memory by `CacheDataset`, sees the same items with and without a cache.

    Args:
        keys: entries that hold channel sources.
        chain: what makes volumes of them.
        parameters, cache_dir, limit_gb: see `VolumeCache`.
    """

    def __init__(
        self, keys: KeysCollection, chain: Compose, parameters: Mapping[str, Any], cache_dir: str, limit_gb: float
    ) -> None:
        super().__init__(keys)
        self.chain = chain
        self.cache = VolumeCache(chain, parameters, cache_dir, limit_gb)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Each source as `MetaTensor (channel, depth, height, width)`."""
        d = dict(data)
        sources = {str(key): d[key] for key in self.key_iterator(d)}
        made = self.cache.load(sources)
        for key, image in made.items():
            if isinstance(image, MetaTensor):  # the same bytes may lie elsewhere now
                first = sources[key][0] if isinstance(sources[key], (list, tuple)) else sources[key]
                image.meta["filename_or_obj"] = getattr(first, "folder", None) or split_volume(first)[0]
        d.update(made)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Each volume on the grid of its file again."""
        return self.chain.inverse(dict(data))


def _key_of(parameters: Mapping[str, Any], item: Mapping[str, Any]) -> bytes:
    return content_key(item, parameters).encode()
