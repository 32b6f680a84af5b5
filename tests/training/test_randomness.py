"""The law: a sample depends on (seed, epoch, index) and on nothing that happened before."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from crossd.errors import CrossDError
from crossd.training import SeededDataset, SeedEpochs
from ignite.engine import Engine
from monai.data import DataLoader
from monai.transforms import Compose, EnsureTyped, RandAffined, RandGaussianNoised, RandSpatialCropd


def dataset(seed=0, cache_rate=1.0):
    generator = torch.Generator().manual_seed(0)
    data = [{"image": torch.rand(1, 10, 10, 10, generator=generator)} for _ in range(6)]
    transform = Compose(
        [
            EnsureTyped("image"),
            RandSpatialCropd("image", roi_size=(8, 8, 8), random_size=False),
            RandAffined("image", prob=1.0, rotate_range=0.2),
            RandGaussianNoised("image", prob=1.0),
        ]
    )
    return SeededDataset(data, transform, seed, cache_rate)


def epochs(data, number, workers=0, first=1):
    batches = []
    for epoch in range(first, number + 1):
        data.set_epoch(epoch)
        batches += [batch["image"].as_tensor() for batch in DataLoader(data, batch_size=2, num_workers=workers)]
    return torch.cat(batches)


def test_resumed_epochs_are_those_of_the_whole_run():
    assert torch.equal(epochs(dataset(), 3)[12:], epochs(dataset(), 3, first=3))


def test_workers_and_cache_make_no_difference():
    whole = epochs(dataset(), 2)
    assert torch.equal(whole, epochs(dataset(), 2, workers=2))
    assert torch.equal(whole, epochs(dataset(cache_rate=0.0), 2))
    assert torch.equal(whole, epochs(dataset(cache_rate=0.5), 2))


def test_epochs_cases_and_seeds_differ():
    samples = epochs(dataset(), 2)
    assert not torch.equal(samples[0], samples[6])
    same = SeededDataset([{"image": torch.ones(1, 9, 9, 9)}] * 2, dataset().transform)
    assert not torch.equal(same[0]["image"], same[1]["image"])
    assert not torch.equal(samples[:6], epochs(dataset(seed=1), 1))


def test_what_is_drawn_elsewhere_makes_no_difference():
    data = dataset()
    first = data[3]["image"]
    np.random.rand(5)
    torch.rand(5)
    data[1]
    assert torch.equal(data[3]["image"], first)


def test_global_generators_are_seeded_by_epoch():
    drawn = {}
    engine = Engine(lambda engine, batch: None)
    SeedEpochs(4, dataset()).attach(engine)
    engine.add_event_handler(
        "EPOCH_COMPLETED",
        lambda e: drawn.setdefault(e.state.epoch, (random.random(), np.random.rand(), float(torch.rand(1)))),
    )
    engine.run([0], max_epochs=3)
    whole, drawn = drawn, {}
    engine.state.max_epochs = None
    engine.add_event_handler("STARTED", lambda e: setattr(e.state, "epoch", 2))
    engine.run([0], max_epochs=3)
    assert drawn == {3: whole[3]}
    assert len(set(whole.values())) == 3


def test_no_cases():
    with pytest.raises(CrossDError, match=r"Training needs cases, got none\. Pass --images DIR --labels labels\.csv"):
        SeededDataset([], Compose([]))
