"""ChestX-ray14 by its official lists: 112,120 chest radiographs of 30,805 patients, any number of 14 findings each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from crossd.data.delimited import stream_table
from crossd.data.images.image_files import FolderTree, decode_image, is_image
from crossd.data.images.sources import ImageRecord, ImageSource
from crossd.data.splits import check_patients
from crossd.errors import CrossDError

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
NOTHING = "No Finding"
TABLE = "Data_Entry_2017"  # …, or …_v2020, .csv
TRAIN_VAL, TEST = "train_val_list.txt", "test_list.txt"
COLUMNS = ("Image Index", "Finding Labels", "Patient ID")


class ChestXray14Source(ImageSource):
    """The images of `train_val_list.txt`; those of `test_list.txt` are held out, see `crossd.data.images.corpus`.

    Source: Wang et al., "ChestX-ray8" (CVPR 2017), and the release by the NIH Clinical Center: `Data_Entry_2017.csv` or
    `Data_Entry_2017_v2020.csv` with the columns `Image Index`, `Finding Labels` (joined by `|`, or `No Finding`) and
    `Patient ID`; the two lists beside it; images in `images_001/images` to `images_012/images`, or at any depth below.

    The official lists are by patient, which is checked; train_val is split by patient. An image without a file is left
    out and listed, so a part of the twelve archives can be used.

    Args:
        path: the table, or the folder that it lies in.
        root: folder that the images lie below; by default the table's.

    Raises:
        CrossDError: for a table, list or column that is not there; an unknown finding; an image that the table lacks,
            lists share, or has twice; a patient in both lists; and when no image of the lists has a file.
    """

    task = "multilabel"

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.path = path
        found = tables(path) if path.is_dir() else [path]
        if not found:
            raise CrossDError(
                f"ChestX-ray14 comes with {TABLE}.csv or {TABLE}_v2020.csv, got neither in {path}. Add it."
            )
        table = found[-1]
        self.root = table.parent if root is None else root
        rows = _read_table(table)
        lists = {name: _read_list(table.with_name(name)) for name in (TRAIN_VAL, TEST)}
        _check_lists(lists, rows, table)
        files, _ = FolderTree(self.root).listed()
        self.files = {PurePosixPath(name).name: name for name in files if is_image(name)}
        self.class_names = list(FINDINGS)
        self.records, self.absent = self._records(lists[TRAIN_VAL], rows, None)
        self.test_records, self.test_absent = self._records(lists[TEST], rows, "test")
        if not self.records:
            raise CrossDError(
                f"The images of ChestX-ray14 lie below its table's folder, got none of {len(lists[TRAIN_VAL])} in "
                f"{self.root}. Unpack images_*.tar.gz there, or pass --image_root DIR."
            )
        beside = len(rows) - sum(map(len, lists.values()))
        self.notes = [f"the {len(lists[TEST])} images of {TEST} are left alone"]
        self.notes += [f"{len(self.absent)} images of {TRAIN_VAL} have no file"] * bool(self.absent)
        self.notes += [f"{beside} images of {table.name} are in neither list and not used"] * bool(beside)

    def _records(
        self, names: Sequence[str], rows: Mapping[str, tuple[str, str]], split: str | None
    ) -> tuple[list[ImageRecord], list[tuple[str, str]]]:
        records = [ImageRecord(name, rows[name][0], split, rows[name][1]) for name in names if name in self.files]
        why = f"there is no such file below {self.root}"
        return records, [(name, why) for name in names if name not in self.files]

    def labels(self, record: ImageRecord) -> list[str]:
        return [] if record.label == "none" else record.label.split(";")

    def read(self, name: str, channels: int = 1) -> np.ndarray:
        return decode_image((self.root / self.files[name]).read_bytes(), channels)


def tables(folder: Path) -> list[Path]:
    """`Data_Entry_2017*.csv` in a folder, the newest by name last; none is a sign that a folder is something else."""
    return sorted(folder.glob(f"{TABLE}*.csv"))


def _read_table(path: Path) -> dict[str, tuple[str, str]]:
    """Image → (findings joined by `;`, or `none`, patient)."""
    rows: dict[str, tuple[str, str]] = {}
    if not path.is_file():
        raise CrossDError(f"The table of ChestX-ray14 must be a file that exists, got {path}. Check --images.")
    for number, row in stream_table(path, "The table of ChestX-ray14", needed=COLUMNS):
        name, findings, patient = (row[column] for column in COLUMNS)
        if not name or not patient or name in rows:
            raise CrossDError(
                f"Every row of the table is of an image and its patient, once; got {name or 'no image'!r} of "
                f"patient {patient or 'none'!r} in line {number} of {path}. Take the NIH's file."
            )
        rows[name] = (_findings(findings, f"line {number} of {path}"), patient)
    return rows


def _findings(text: str, where: str) -> str:
    if text == NOTHING:
        return "none"
    names = text.split("|")
    unknown = [name for name in names if name not in FINDINGS]
    if unknown or len(set(names)) != len(names):
        raise CrossDError(
            f"Findings are {', '.join(FINDINGS)}, joined by |, or {NOTHING!r} alone; got {text!r} in {where}. Correct "
            "it."
        )
    return ";".join(names)


def _read_list(path: Path) -> list[str]:
    if not path.is_file():
        raise CrossDError(
            f"ChestX-ray14 is split by its official lists {TRAIN_VAL} and {TEST}, got no {path}. Download it beside "
            "the table."
        )
    names = path.read_text(encoding="utf-8-sig").split()
    if not names or len(set(names)) != len(names):
        raise CrossDError(
            f"An official list names each of its images once, got {len(names)} in {path}, "
            f"{len(set(names))} of them different. Download it again."
        )
    return names


def _check_lists(lists: Mapping[str, Sequence[str]], rows: Mapping[str, tuple[str, str]], table: Path) -> None:
    unknown = [name for names in lists.values() for name in names if name not in rows]
    if unknown:
        raise CrossDError(
            f"The table has a row for every image of the lists, got none in {table} for {len(unknown)} of them, such "
            f"as {unknown[0]}. Take table and lists of one release."
        )
    patients = [rows[name][1] for names in lists.values() for name in names]
    parts = [part for part, names in lists.items() for _ in names]
    check_patients(patients, parts, f"Download the lists beside {table} again.")
