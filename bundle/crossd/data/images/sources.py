"""What images for pre-training come from, whatever it is: labelled images, how each is read, and what it teaches."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossd.cards.tasks import CLASSIFICATION, task_of
from crossd.errors import CrossDError, one_of

SPLITS = ("train", "val")


@dataclass(frozen=True)
class ImageRecord:
    """One labelled image of a source, by which name the source reads it."""

    name: str
    label: str
    split: str | None = None  # "train", "val" or, held out, "test"; None where the source does not say, or has no val
    patient: str | None = None


class ImageSource(ABC):
    """Labelled images that lie in one place."""

    path: Path  # of the folder or file
    class_names: list[str]  # in the order of its own labels
    records: list[ImageRecord]  # one per image of train and val
    notes: list[str]  # what else was found there and is not used, for the log
    task: str = "multiclass"  # or "multilabel", where an image may have any number of labels
    absent: Sequence[tuple[str, str]] = ()  # names of images that should be there and are not, each with the reason
    test_records: Sequence[ImageRecord] = ()  # which training never opens; see `crossd.data.images.corpus`
    test_absent: Sequence[tuple[str, str]] = ()

    @property
    def name(self) -> str:
        """What classes of the same name are told apart by."""
        return self.path.name if self.path.is_dir() else self.path.stem

    def labels(self, record: ImageRecord) -> list[str]:
        """The classes of an image."""
        return [record.label]

    def held_out(self) -> ImageSource:
        """A copy with the images of the test split, which may be none, for records."""
        held = copy.copy(self)
        held.records, held.absent = list(self.test_records), self.test_absent
        return held

    @abstractmethod
    def read(self, name: str, channels: int = 1) -> np.ndarray:
        """The image of a record, `(channels, height, width)` uint8."""


def check_same_classes(classes: dict[str | None, set[str]], where: str) -> None:
    """Refuse train and val of different classes."""
    if set(classes) != set(SPLITS):
        return
    missing = {split: sorted(classes[other] - classes[split]) for split, other in (("train", "val"), ("val", "train"))}
    if any(missing.values()):
        listed = " and ".join(f"{split} lacks {', '.join(names)}" for split, names in missing.items() if names)
        raise CrossDError(
            f"train and val have the same class folders, got {where}, where {listed}. Rename them, or make an empty "
            "folder in val for a class without validation images."
        )


def declared_task(sources: Sequence[ImageSource], task: str | None = None) -> str:
    """`"multiclass"` or `"multilabel"`, as the sources are; an error for both, and for another than the user says."""
    if task is not None:
        one_of("task", task, [name for name in CLASSIFICATION if not task_of(name).ordered])
    of_source = {source.task: source for source in sources}
    if len(of_source) > 1:
        raise CrossDError(
            "Images of one training have all one label, or all any number of labels; got both: "
            f"{', '.join(f'{source.path} is {name}' for name, source in sorted(of_source.items()))}. Train on them "
            "apart."
        )
    found = next(iter(of_source))
    if task not in (None, found):
        raise CrossDError(
            f"The task of a training is that of its images, got task {task!r} for {of_source[found].path}, which is "
            f"{found}. Leave --task out."
        )
    return found


def as_text(names: Sequence[str], task: str) -> str:
    """Labels as lists have them: several are joined by `;`, none is `none`.

    >>> as_text(["Mass", "Edema"], "multilabel"), as_text([], "multilabel")
    ('Mass;Edema', 'none')
    """
    return names[0] if task == "multiclass" else ";".join(names) or "none"


def as_target(names: Sequence[str], index: Mapping[str, int], task: str) -> int | np.ndarray:
    """The index of the class; for multilabel float32 `(classes,)`, 1 for those that are named.

    >>> as_target(["mr"], {"ct": 0, "mr": 1}, "multilabel").tolist()
    [0.0, 1.0]
    """
    if task == "multiclass":
        return index[names[0]]
    target = np.zeros(len(index), np.float32)
    target[[index[name] for name in names]] = 1
    return target


def classes_of(target: int | np.ndarray) -> list[int]:
    """The indices that a target names.

    >>> classes_of(1), classes_of(np.array([0, 1, 1], np.float32))
    ([1], [1, 2])
    """
    return [target] if isinstance(target, int) else np.flatnonzero(target).tolist()
