"""What images for pre-training come from, whatever it is: records of labelled images, and how each is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossd.errors import CrossDError

SPLITS = ("train", "val")


@dataclass(frozen=True)
class ImageRecord:
    """One labelled image of a source.

    Attributes:
        name: by which the source reads it.
        label: its class, by name.
        split: `"train"`, `"val"` or, held out, `"test"`; None where the source does not say, or has no val.
        patient: None where it is not known.
    """

    name: str
    label: str
    split: str | None = None
    patient: str | None = None


class ImageSource(ABC):
    """Labelled images that lie in one place.

    Attributes:
        path: of the folder or file.
        class_names: in the order of its own labels.
        records: one per image of train and val.
        notes: what else was found there and is not used, for the log.
        task: `"multiclass"`, or `"multilabel"` where an image may have any number of labels.
        absent: names of images that should be there and are not, each with the reason.
        test_records: one per image of test, which training never opens; see `crossd.data.images.held_out`.
        test_absent: as `absent`, of test.
    """

    path: Path
    class_names: list[str]
    records: list[ImageRecord]
    notes: list[str]
    task: str = "multiclass"
    absent: Sequence[tuple[str, str]] = ()
    test_records: Sequence[ImageRecord] = ()
    test_absent: Sequence[tuple[str, str]] = ()

    @property
    def name(self) -> str:
        """What classes of the same name are told apart by."""
        return self.path.name if self.path.is_dir() else self.path.stem

    def labels(self, record: ImageRecord) -> list[str]:
        """The classes of an image."""
        return [record.label]

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
