"""The cases of a task: a pool without labels, those that may be labelled, and the official test cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossd.data.delimited import write_table
from crossd.data.sets import prepare_datalist
from crossd.data.splits import stratified_split
from crossd.probe.labelled import labelled_cases

from scripts.benchmarks.probe.sets import BINARY, write_acdc
from scripts.benchmarks.yardstick.made import write_moved_hippocampi, write_order

POOL = 0.4  # of the training patients
TASKS = ("acdc", "hippocampusmoved", "order", "vesselmnist3d", "adrenalmnist3d")
LABELLED = {"acdc": 25 / 60, "order": 40 / 180}  # of those that may be labelled; else 10 % of the training cases
LIVE_VOLUMES = 2000  # that the second round distils from, changed at random: as many passes of the pool as that takes
EPOCHS = {"acdc": 10, "order": 10}  # of distillation, where the pool is small


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        images: folder that paths of `cases` start from.
        shown: what of a card's input is not that of the weights.
        cases: of "pool", "may" (be labelled) and "test".
    """

    name: str
    folder: Path
    shown: Mapping[str, Any]
    classes: Sequence[str]
    cases: Mapping[str, Sequence[Mapping[str, Any]]]

    @property
    def fraction(self) -> float:
        """Of those that may be labelled, the share that is, where labels are few."""
        return LABELLED.get(self.name, 0.1 / (1 - POOL))

    def pool_table(self) -> Path:
        """The images of the pool as a table without labels, for `configs/distill.json`."""
        path = self.folder / "pool.csv"
        rows = [[case["case"], *case["image"], case["patient"]] for case in self.cases["pool"]]
        files = len(self.cases["pool"][0]["image"])
        images = ["image"] if files == 1 else [f"image_{number + 1}" for number in range(files)]
        write_table(path, ["case", *images, "patient"], rows)
        return path


def read_task(name: str, data: Path, work: Path) -> Task:
    """Prepare a task, or read what was prepared.

    Args:
        name: of `TASKS`.
        data: laid out as `tests/README.md` says.
        work: receives volumes and tables.
    """
    folder = work / name
    labels = folder / "labels.csv"
    if not labels.is_file():
        if name == "acdc":
            write_acdc(data / "acdc", labels)
        elif name == "hippocampusmoved":
            write_moved_hippocampi(data / "hippocampus_msd", folder)
        elif name == "order":
            write_order(folder)
        else:
            prepare_datalist(name, data / "medmnist", folder, size=28)
    found = labelled_cases(str(data / "acdc" if name == "acdc" else folder), str(labels))
    training = [case for case in found["train"] if case["split"] == "train"]
    patients = [str(case["patient"]) for case in training]
    parts = stratified_split(patients, [[case["label"]] for case in training], {"pool": POOL, "may": 1 - POOL}, seed=0)
    cases: dict[str, list[Mapping[str, Any]]] = {"pool": [], "may": [], "test": list(found["test"])}
    for case, part in zip(training, parts, strict=True):
        cases[part].append(case)
    shown = {"intensity": BINARY} if name.endswith("mnist3d") else {}
    return Task(name, folder, shown, found["class_names"], cases)
