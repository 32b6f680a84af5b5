"""The cases of the benchmark as files with labels, and what frozen weights make of them, kept on disk."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from crossd.data.delimited import write_table
from crossd.data.sets import prepare_datalist
from crossd.probe.choosing import Labelled
from crossd.probe.features import FrozenFeatures
from crossd.probe.frozen import frozen_network
from crossd.probe.labelled import labelled_cases, one_hot
from crossd.probe.running import rows_of

BINARY = {"mode": "window", "lower": 0, "upper": 255}
READING: dict[str, Any] = {"series": None, "tilt": "correct", "volume": None}
WEIGHTS = "efficientnet-lite0"


@dataclass(frozen=True)
class Source:
    """Where a set lies below the data folder, and what of a card's input it is shown with."""

    folder: str
    shown: Mapping[str, Any]
    options: Mapping[str, Any]


SOURCES = {
    "vesselmnist3d": Source("medmnist", {"intensity": BINARY}, {"size": 28}),
    "adrenalmnist3d": Source("medmnist", {"intensity": BINARY}, {"size": 28}),
    "hippocampusparts": Source("hippocampus_msd", {}, {}),
    "acdc": Source("acdc", {}, {}),
}


@dataclass(frozen=True)
class ProbeSet:
    """A set with features: its training cases and its test cases (those of "val" are not used)."""

    name: str
    classes: Sequence[str]
    train: Labelled
    test: Labelled


def read_set(name: str, data: Path, work: Path) -> ProbeSet:
    """Prepare, encode and read a set; what was prepared and encoded before is taken.

    Args:
        name: of `SOURCES`.
        data: laid out as `tests/README.md` says.
        work: receives volumes, labels and features.
    """
    source, folder = SOURCES[name], work / name
    labels = folder / "labels.csv"
    if not labels.is_file():
        if name == "acdc":
            write_acdc(data / source.folder, labels)
        else:
            prepare_datalist(name, data / source.folder, folder, **source.options)
    images = str(data / source.folder if name == "acdc" else folder)
    found = labelled_cases(images, str(labels))
    cases = {
        "train": [case for case in found["train"] if case["split"] == "train"],
        "test": found["test"],
    }
    frozen = frozen_network(WEIGHTS, str(data), cases["train"], source.shown, READING)
    read = FrozenFeatures(frozen, READING, str(work / "features"), batch_size=2)
    parts = {
        split: _labelled(read, of_split, f"{name}, {split}", len(found["class_names"]))
        for split, of_split in cases.items()
    }
    return ProbeSet(name, found["class_names"], parts["train"], parts["test"])


def _labelled(read: FrozenFeatures, cases: Sequence[Mapping[str, Any]], what: str, classes: int) -> Labelled:
    seen, failed = read.of(cases, what)
    assert not failed, failed
    known = [one for one in seen if one is not None]
    sets = {**rows_of([one.views for one in known]), **rows_of([one.trivial for one in known])}
    targets = one_hot([case["label"] for case in cases], classes)
    return Labelled(sets, np.asarray(targets), [case["patient"] for case in cases])


def write_acdc(folder: Path, labels: Path) -> None:
    """A labels.csv of `patients.csv`: end-diastole and end-systole are two channels of a patient."""
    with (folder / "patients.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    header = ["case", "image_1", "image_2", "label", "patient", "split"]
    write_table(labels, header, [[r["patient"], r["ed"], r["es"], r["group"], r["patient"], r["split"]] for r in rows])
