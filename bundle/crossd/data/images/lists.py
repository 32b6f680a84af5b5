"""Lists of labelled images with the tree that they name: RadImageNet's, or one's own."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from crossd.data.images.decoding import decode
from crossd.data.images.sources import SPLITS, UNUSED_SPLITS, ImageRecord, ImageSource, check_same_classes
from crossd.data.splits import check_patients
from crossd.errors import CrossDError

NEEDED = ("filename", "label")


class ListSource(ImageSource):
    """The images that CSV lists name.

    Source: RadImageNet (Mei et al., Radiology: Artificial Intelligence 2022): `RadiologyAI_train.csv`,
    `RadiologyAI_val.csv` and `RadiologyAI_test.csv` with the columns `filename` (as in `radiology_ai/MR/knee/…`) and
    `label` (165 of them). A list of one's own may have the columns `split` and `patient` too.

    Given the path of `…_train.csv`, `…_val.csv` beside it is read as well, `…_test.csv` is not. `filename` starts from
    `root`; without one, from the list's folder or the one above, whichever has the first file.

    Raises:
        CrossDError: for missing columns or images, a patient in both splits, or a class of one split only.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.path = path
        self.notes = []
        self.records = []
        train = path.stem.endswith("_train")
        lists = {path: "train" if train else None}
        if train:
            beside = {
                split: path.with_name(f"{path.stem[: -len('train')]}{split}{path.suffix}") for split in SPLITS[1:]
            }
            lists |= {file: split for split, file in beside.items() if file.is_file()}
            if len(lists) == 1:
                lists[path] = None  # no validation list: it is split
        for file, split in lists.items():
            self._read(file, split)
        if not self.records:
            raise CrossDError(f"A list of images has a row for each of them, got none in {path}. Add rows.")
        self.root = _root(path, self.records[0].name) if root is None else root
        patients = [(record.patient, record.split) for record in self.records if record.patient and record.split]
        check_patients([str(patient) for patient, _ in patients], [str(split) for _, split in patients])
        classes: dict[str | None, set[str]] = {}
        for record in self.records:
            classes.setdefault(record.split, set()).add(record.label)
        if unseen := classes.get("val", set()) - classes.get("train", classes.get("val", set())):
            check_same_classes({"train": classes["train"], "val": classes["train"] | unseen}, str(path))
        self.class_names = sorted({record.label for record in self.records})

    def _read(self, path: Path, split: str | None) -> None:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = named_rows(file)
            missing = [column for column in NEEDED if column not in (reader.fieldnames or [])]
            if missing:
                raise CrossDError(
                    f"A list of images has the columns {' and '.join(NEEDED)} (and may have split and patient), got "
                    f"{path} without {', '.join(missing)}. Add them."
                )
            for number, row in enumerate(reader, 2):
                name, label = ((row[column] or "").strip() for column in NEEDED)
                own = (row.get("split") or "").strip() or split
                if not name or not label:
                    raise CrossDError(
                        f"Every row of a list names an image and its label, got line {number} of {path} without. "
                        "Complete or remove it."
                    )
                if own in UNUSED_SPLITS:
                    continue
                if own is not None and own not in SPLITS:
                    raise CrossDError(
                        f"The split of an image is train, val or test, got {own!r} in line {number} of {path}. "
                        "Correct it."
                    )
                self.records.append(ImageRecord(name, label, own, (row.get("patient") or "").strip() or None))
        given = {record.split for record in self.records}
        if None in given and len(given) > 1:
            raise CrossDError(
                f"Either every image of a list has a split or none has, got both in {path}. Complete the column split."
            )

    def read(self, name: str, channels: int = 1) -> np.ndarray:
        return decode((self.root / name).read_bytes(), channels)


def named_rows(file: Iterable[str]) -> csv.DictReader[str]:
    """The rows of a list; `Split` and ` split` are `split`, so that no held-out image is taken for its spelling.

    >>> next(named_rows(["filename, Label,Split", "1.png,ct,test"]))
    {'filename': '1.png', 'label': 'ct', 'split': 'test'}
    """
    reader = csv.DictReader(file)
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
    return reader


def _root(path: Path, first: str) -> Path:
    tried = [path.parent, path.resolve().parent.parent]
    for root in tried:
        if (root / first).is_file():
            return root
    raise CrossDError(
        f"The images of a list lie below its folder, got {first} of {path} neither in {tried[0]} nor in {tried[1]}. "
        "Pass --image_root DIR, the folder that the names start from."
    )
