"""Lists of labelled images with the tree that they name: RadImageNet's, or one's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from crossd.data.case_table import resolve_cell
from crossd.data.delimited import stream_table
from crossd.data.images.image_files import decode_image
from crossd.data.images.sources import ImageRecord, ImageSource, check_same_classes
from crossd.data.names import is_missing, refuse_spellings
from crossd.data.splits import check_patients, split_called
from crossd.errors import CrossDError


class ListSource(ImageSource):
    """The images that CSV lists name.

    Source: RadImageNet (Mei et al., Radiology: Artificial Intelligence 2022): `RadiologyAI_train.csv`,
    `RadiologyAI_val.csv` and `RadiologyAI_test.csv` with the columns `filename` (as in `radiology_ai/MR/knee/…`) and
    `label` (165 of them). A list of one's own may have the columns `split` and `patient` too.

    Given the path of `…_train.csv`, `…_val.csv` beside it is read as well; of `…_test.csv` the rows, but no image.
    Where there is no val, in files or rows, the training images are split. `filename` starts from `root`; without one,
    from the list's folder or the one above, whichever has the first file.

    Raises:
        CrossDError: for missing columns or images, splits without train, a patient in several splits, or a class of one
            split only.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.path = path
        self.notes = []
        self.records = []
        self.test_records: list[ImageRecord] = []
        if path.stem.endswith("_train"):
            beside = {s: path.with_name(f"{path.stem.removesuffix('train')}{s}{path.suffix}") for s in ("val", "test")}
            self._read(path, "train")
            if beside["val"].is_file():
                self._read(beside["val"], "val")
            if beside["test"].is_file():
                self.test_records += _test_rows(beside["test"])
        else:
            self._read(path, None)
        self._check_splits()
        self.root = _root(path, self.records[0].name) if root is None else root
        if {record.split for record in self.records} == {"train"}:  # no validation rows: they are made
            self.records = [replace(record, split=None) for record in self.records]
            self.notes.append("there is no val, it is split off from train")
        self.notes += [f"the {len(self.test_records)} images of test are left alone"] * bool(self.test_records)
        classes: dict[str | None, set[str]] = {}
        for record in self.records:
            classes.setdefault(record.split, set()).add(record.label)
        if unseen := classes.get("val", set()) - classes.get("train", classes.get("val", set())):
            check_same_classes({"train": classes["train"], "val": classes["train"] | unseen}, str(path))
        self.class_names = sorted({record.label for record in self.records})

    def _read(self, path: Path, split: str | None) -> None:
        lines: dict[str, list[int]] = {}
        # in lower case, so that `Split` is `split` and no test image slips in
        for number, row in stream_table(path, "A list of images", lower=True, needed=("filename", "label")):
            name, label, said = row["filename"], row["label"], row.get("split", "")
            own = split_called(said) if said else split
            if not name or is_missing(label):
                what = f" (its label is {label!r})" if name and label else ""
                raise CrossDError(
                    f"Every row of a list names an image and its label, got line {number} of {path} without{what}. "
                    "Complete or remove it."
                )
            lines.setdefault(label, []).append(number)
            if said and own is None:
                raise CrossDError(
                    f"The split of an image is train, val or test, got {said!r} in line {number} of {path}. Correct it."
                )
            records = self.test_records if own == "test" else self.records
            records.append(ImageRecord(name, label, own, row.get("patient") or None))
        refuse_spellings("A class", lines, str(path))

    def _check_splits(self) -> None:
        given = {record.split for record in self.records}
        if None in given and len(given) > 1:
            raise CrossDError(
                f"Either every image of a list has a split or none has, got both in {self.path}. Complete the column "
                "split."
            )
        held = ["test"] if self.test_records else []
        if (given or held) and not given & {"train", None}:
            raise CrossDError(
                f"Training needs rows of train, got {' and '.join(sorted(map(str, given)) + held)} without it in "
                f"{self.path}. Say train in the column split of the images to be learnt from."
            )
        if not self.records:
            raise CrossDError(f"A list of images has a row for each of them, got none in {self.path}. Add rows.")
        known = [record for record in [*self.records, *self.test_records] if record.patient]
        check_patients(
            [str(record.patient) for record in known],
            [record.split or "train" for record in known],
            "Keep the images of a patient in one split and take the others out of the list.",
        )

    def read(self, name: str, channels: int = 1) -> np.ndarray:
        return decode_image(_file(self.root, name).read_bytes(), channels)


def _test_rows(path: Path) -> Iterator[ImageRecord]:
    """As they are: what lacks a label stops a test, and no training."""
    for _, row in stream_table(path, "A list of images", lower=True):
        yield ImageRecord(row.get("filename", ""), row.get("label", ""), "test", row.get("patient") or None)


def _file(root: Path, name: str) -> Path:
    """Where an image is, written as on Windows too."""
    return Path(resolve_cell(root, name)) if "\\" in name else root / name


def _root(path: Path, first: str) -> Path:
    tried = [path.parent, path.resolve().parent.parent]
    for root in tried:
        if _file(root, first).is_file():
            return root
    raise CrossDError(
        f"The images of a list lie below its folder, got {first} of {path} neither in {tried[0]} nor in {tried[1]}. "
        "Pass --image_root DIR, the folder that the names start from."
    )
