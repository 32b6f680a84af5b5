"""Features of the three networks, and what a regression on a tenth of the labels reaches with each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from crossd.cli.main import main as crossd
from crossd.data.sets import prepare_datalist
from crossd.errors import CrossDError
from crossd.evaluation.metrics import classification_metrics
from crossd.evaluation.predictions import Predictions
from crossd.probe.choosing import Candidate, Labelled, Recipe
from crossd.probe.features import FrozenFeatures
from crossd.probe.frozen import frozen_network
from crossd.probe.labelled import labelled_cases, one_hot

from scripts.benchmarks.transfer.tasks import Part, labelled_subset

WEIGHTS = "efficientnet-lite0"
SHOWN: dict[str, Any] = {"intensity": {"mode": "window", "lower": 0, "upper": 255}}  # binary masks
READING: dict[str, Any] = {"series": None, "tilt": "correct", "volume": None}
SIZE = 40
RECIPE = Recipe()


@dataclass(frozen=True)
class Network:
    """What is frozen, and what it looks at."""

    name: str
    weights: str
    views: Sequence[str]


def labels_of(data: Path, work: Path) -> Path:
    """The set as files with `labels.csv`, written once."""
    labels = work / "vesselmnist3d" / "labels.csv"
    if not labels.is_file():
        prepare_datalist("vesselmnist3d", data / "medmnist", labels.parent, size=28)
    return labels


def distilled(labels: Path, work: Path, seed: int) -> Path:
    """The student of a seed; a run that was ended goes on.

    Raises:
        CrossDError: where the run fails.
    """
    folder = work / f"student{seed}"
    command = ["pretrain", "--recipe", "distil", "--volumes", str(labels), "--output_dir", str(folder)]
    command += ["--intensity", repr(SHOWN["intensity"]), "--volume_size", str(SIZE), "--seed", str(seed)]
    command += ["--cache_dir", str(work / "features"), "--device", "cpu", "--progress", "false"]
    if crossd(command):
        raise CrossDError(f"A distillation must end well; that in {folder} has not. Read its log.")
    return folder / "model.pt"


def networks(labels: Path, work: Path, runs: Sequence[int]) -> Iterator[Network]:
    """All that are compared, each student when it is trained."""
    yield Network("I3D-mean", WEIGHTS, ["volume"])
    yield Network("teacher", WEIGHTS, ["slices", "projections"])
    for seed in runs:
        yield Network(f"distilled, run {seed}", str(distilled(labels, work, seed)), ["volume"])


def measure(network: Network, labels: Path, work: Path, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """A line for each draw: `network`, `seed`, and the AUC of `test` cases and of `unused` training cases."""
    found = labelled_cases(str(labels.parent), str(labels))
    parts = {"train": [case for case in found["train"] if case["split"] == "train"], "test": found["test"]}
    options = {"volume_size": SIZE} if "volume" in network.views else {}
    frozen = frozen_network(network.weights, str(work), parts["train"], SHOWN, READING, network.views, options)
    read = FrozenFeatures(frozen, READING, str(work / "features"), batch_size=8)
    names = found["class_names"]
    train, test = (_features(read, cases, f"{network.name}, {part}", names) for part, cases in parts.items())
    for seed in seeds:
        numbers = torch.arange(len(train))
        drawn = labelled_subset(
            Part(numbers, torch.from_numpy(train.targets.argmax(1)), tuple(train.patients)), 0.1, seed
        )
        cases = drawn.images.numpy()
        fit = RECIPE.fit(train.take(cases), {"all": [Candidate(tuple(train.sets))]})["all"]
        unused = train.take(np.setdiff1d(numbers.numpy(), cases))
        yield {
            "network": network.name,
            "seed": seed,
            "C": fit.choice.strength,
            **{name: _auc(fit.logits(part), part, names) for name, part in (("test", test), ("unused", unused))},
        }


def _features(read: FrozenFeatures, cases: Sequence[Mapping[str, Any]], what: str, names: Sequence[str]) -> Labelled:
    seen, failed = read.of(cases, what)
    assert not failed, failed
    views = [one.views for one in seen if one is not None]
    sets = {name: np.stack([one[name].double().numpy() for one in views]) for name in views[0]}
    targets = one_hot([case["label"] for case in cases], len(names))
    return Labelled(sets, np.asarray(targets), [case["patient"] for case in cases])


def _auc(logits: np.ndarray, cases: Labelled, names: Sequence[str]) -> float:
    said, targets = torch.from_numpy(RECIPE.probabilities(logits)), torch.from_numpy(cases.targets)
    return round(classification_metrics(Predictions.of(said, targets, names, "multiclass"))["auc"], 5)
