"""Everything random in training follows from (seed, epoch, case): a resumed run draws what the whole run would have."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset
from monai.transforms import Compose

from crossd.errors import CrossDError


def derive_seed(*numbers: int) -> int:
    """A 32-bit seed from several numbers; streams of different numbers are independent (numpy's `SeedSequence`).

    >>> derive_seed(0, 1) == derive_seed(0, 1), derive_seed(0, 1) == derive_seed(1, 0)
    (True, False)
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class SeededDataset(CacheDataset):
    """MONAI's `CacheDataset` whose random transforms depend on seed, epoch and index only.

    Not on what was drawn before, in this process or in a worker: the same item comes out with any number of workers
    (not persistent ones, which would not see the epoch) and after resuming at that epoch.

    Args:
        transform: MONAI's `Compose`; what comes before its first random transform is cached.
        cache_rate: part of the items to keep in memory after the deterministic transforms.

    Raises:
        CrossDError: when there are no items.

    >>> from monai.transforms import Compose, RandShiftIntensityd, ToTensord
    >>> transform = Compose([ToTensord("x"), RandShiftIntensityd("x", offsets=1.0, prob=1.0)])
    >>> dataset = SeededDataset([{"x": torch.zeros(1, 1)}], transform, seed=3, cache_rate=0.0)
    >>> bool(dataset[0]["x"] == dataset[0]["x"])
    True
    >>> first = dataset[0]["x"]
    >>> dataset.set_epoch(2)
    >>> bool(dataset[0]["x"] == first)
    False
    """

    def __init__(self, data: Sequence[Any], transform: Compose, seed: int = 0, cache_rate: float = 1.0) -> None:
        if not data:
            raise CrossDError("Training needs cases, got none. Pass --images DIR --labels labels.csv.")
        self.seed = seed
        self.epoch = 1
        super().__init__(data, transform, cache_rate=cache_rate, progress=False)

    def set_epoch(self, epoch: int) -> None:
        """What `SeedEpochs` calls at the start of every epoch."""
        self.epoch = epoch

    def _transform(self, index: int) -> Any:
        self.transform.set_random_state(seed=derive_seed(self.seed, self.epoch, index))
        return super()._transform(index)


class SeedEpochs:
    """Handler that seeds python, numpy and torch, and the data set, at the start of every epoch.

    Dropout and whatever else draws from the global generators then repeats when an epoch is run again.
    """

    def __init__(self, seed: int, dataset: SeededDataset) -> None:
        self.seed = seed
        self.dataset = dataset

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        seed = derive_seed(self.seed, engine.state.epoch)
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self.dataset.set_epoch(engine.state.epoch)
