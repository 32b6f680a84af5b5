"""The data sets of the benchmark in memory, and which of their cases a run may learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from crossd.data import preprocessing, read_labels
from crossd.data.sets import prepare_datalist
from crossd.data.splits import SPLITS, stratified_split
from crossd.errors import CrossDError
from torch import Tensor

from scripts.benchmarks.runs.reading import VOLUMES
from scripts.benchmarks.transfer.arrays import one_channel, one_label


@dataclass(frozen=True)
class Part:
    """Some cases: images `(cases, 1, [depth,] height, width)` in [0, 1], labels `(cases,)`, the patient of each."""

    images: Tensor
    labels: Tensor
    patients: tuple[str, ...]

    def take(self, cases: Sequence[int]) -> Part:
        """These cases only."""
        chosen = list(cases)
        return Part(self.images[chosen], self.labels[chosen], tuple(self.patients[case] for case in chosen))


@dataclass(frozen=True)
class Task:
    """A data set: its parts by split, and the axes along which mirroring keeps the class."""

    name: str
    parts: Mapping[str, Part]
    flip_axes: tuple[int, ...]

    @property
    def classes(self) -> int:
        return int(max(int(part.labels.max()) for part in self.parts.values() if len(part.labels))) + 1

    @property
    def spatial_dims(self) -> int:
        return self.parts["train"].images.dim() - 2


@lru_cache(maxsize=8)
def read_task(name: str, source: Path, image_size: int = 64) -> Task:
    """Read a data set.

    Args:
        name: `"hippocampusparts"`, or what a MedMNIST-like `.npz` is called.
        source: Task04's folder, or the `.npz` file: six arrays `{train,val,test}_{images,labels}`, or `images` and
            `labels` alone (Enhanced MedMNIST), which are split 70/10/20 by class.
        image_size: 2D images are resized to this many pixels a side.

    Raises:
        CrossDError: for a file that holds something else, or is not there.
    """
    if not source.exists():
        raise CrossDError(f"The data of {name} must be there, got {source}. Pass --sets {name}=PATH or --data DIR.")
    if source.is_dir():
        return _hippocampus(name, source)
    with np.load(source, allow_pickle=False) as arrays:
        if {"images", "labels"} <= set(arrays.files):
            images, labels = arrays["images"], arrays["labels"]
            one_label(labels, len(images), source)
            fractions = {"train": 0.7, "val": 0.1, "test": 0.2}
            of_case = labels.reshape(-1, 1)
            splits = np.array(stratified_split([str(i) for i in range(len(labels))], of_case, fractions))
            pairs = {split: (images[splits == split], labels[splits == split]) for split in SPLITS}
        elif {f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels")} <= set(arrays.files):
            pairs = {split: (arrays[f"{split}_images"], arrays[f"{split}_labels"]) for split in SPLITS}
        else:
            raise CrossDError(
                f"A data set of the benchmark holds images and labels, alone or for train, val and test; {source} has "
                f"{', '.join(arrays.files)}. Pass another file."
            )
    parts = {
        split: Part(
            one_channel(images, source, image_size), one_label(labels, len(images), source), _numbered(len(images))
        )
        for split, (images, labels) in pairs.items()
    }
    dims = parts["train"].images.dim() - 2
    return Task(name, parts, _mirrored(name, dims))


def _mirrored(name: str, dims: int) -> tuple[int, ...]:
    """Left and right kidneys, lungs and femurs are classes of the Organ sets; elsewhere a mirror image is as good."""
    if name.startswith("organ"):
        return ()
    return tuple(range(dims)) if dims == 3 else (1,)


def _numbered(cases: int) -> tuple[str, ...]:
    """MedMNIST names no patients: every case is one."""
    return tuple(map(str, range(cases)))


def _hippocampus(name: str, source: Path) -> Task:
    """Cubes of 24 voxels; volumes that were written before are read again. Only left and right may be exchanged."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        labels = prepare_datalist("hippocampusparts", source, folder)
        table = read_labels(folder, str(labels))
        read = preprocessing(VOLUMES)
        parts = {}
        for split in SPLITS:
            images = [torch.as_tensor(read({"image": case["image"]})["image"]) for case in table[split]]
            targets = torch.tensor([case["label"] for case in table[split]])
            parts[split] = Part(torch.stack(images), targets, tuple(case["patient"] for case in table[split]))
    return Task(name, parts, (2,))


def labelled_subset(part: Part, fraction: float, seed: int) -> Part:
    """A share of the cases by patient, each class in proportion: the cases whose labels a run may use.

    The same for every method, another one for each seed.

    >>> part = Part(torch.zeros(20, 1, 1, 1, 1), torch.tensor([0] * 10 + [1] * 10), tuple("abcdefghijklmnopqrst"))
    >>> labelled_subset(part, 0.2, seed=1).labels.tolist()
    [0, 0, 1, 1]
    """
    if fraction >= 1:
        return part
    classes = [[int(label)] for label in part.labels]
    chosen = stratified_split(part.patients, classes, {"kept": fraction, "left": 1 - fraction}, seed)
    return part.take([case for case, where in enumerate(chosen) if where == "kept"])


def joined(task: Task) -> Part:
    """All cases of all splits, as the published evaluation pools them."""
    parts = [task.parts[split] for split in SPLITS]
    patients = tuple(f"{split} {p}" for split in SPLITS for p in task.parts[split].patients)
    return Part(torch.cat([p.images for p in parts]), torch.cat([p.labels for p in parts]), patients)


def paper_fold(task: Task, trial: int, fold: int, folds: int = 5) -> dict[str, Part]:
    """Train, val and test of one fold of the published evaluation (`average_acc_3D.py`).

    `KFold(5, shuffle=True)` with the seed 42 + trial, trials counted from 1, over all patients of all splits; the first
    fifth of the training patients, in their order, validates. The paper's sets name no patients, so each case is one.
    """
    whole = joined(task)
    patients = list(dict.fromkeys(whole.patients))
    order = np.random.RandomState(42 + trial).permutation(len(patients))
    pieces = np.array_split(order, folds)
    rest = np.sort(np.concatenate([piece for index, piece in enumerate(pieces) if index != fold]))
    val = len(rest) // 5
    chosen = {"train": rest[val:], "val": rest[:val], "test": pieces[fold]}
    split_of = {patients[index]: split for split, indices in chosen.items() for index in indices}
    cases = {split: [case for case, who in enumerate(whole.patients) if split_of[who] == split] for split in chosen}
    return {split: whole.take(cases[split]) for split in chosen}
