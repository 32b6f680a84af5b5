"""What a run writes beside its model: checkpoints to resume from, its cases, and tables of its epochs."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossd.checkpoints import read_checkpoint
from crossd.data.class_counts import class_counts, write_counts
from crossd.data.delimited import read_table, write_table
from crossd.data.splits import SPLITS
from crossd.errors import CrossDError

logger = logging.getLogger(__name__)


def run_folder(output_dir: str | None) -> Path:
    """Where a run writes."""
    if output_dir is None:
        raise CrossDError("Training needs a folder for what it writes, got none. Pass --output_dir DIR.")
    return Path(output_dir)


def checkpoint_path(folder: Path, epoch: int) -> Path:
    """Where the checkpoint of an epoch lies.

    >>> checkpoint_path(Path("out"), 7).name
    'checkpoint_0007.pt'
    """
    return folder / f"checkpoint_{epoch:04d}.pt"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, newest first. Files that are being written have other names and are not listed."""
    found = [path for path in folder.glob("checkpoint_*.pt") if re.fullmatch(r"checkpoint_\d{4,}\.pt", path.name)]
    return sorted(found, key=lambda path: int(path.stem.split("_")[1]), reverse=True)


def newest_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, None where there is none.

    One that cannot be read (a broken disk; never a killed run, whose files are renamed when they are whole) is named
    and the one before it is taken.
    """
    found = checkpoints(folder)
    problems = []
    for path in found:
        try:
            content = read_checkpoint(path)
        except CrossDError as error:
            logger.warning("%s cannot be read and is passed over: %s", path, error)
            problems.append(str(error))
        else:
            return content
    if problems:
        raise CrossDError(
            f"Resuming needs a whole checkpoint, got none of {len(problems)} in {folder}: {problems[0]} "
            "Pass --resume false to start again."
        )
    return None


def remove_checkpoints(folder: Path, keep: int = 0) -> None:
    """Remove all but the newest `keep` checkpoints, the oldest first."""
    for path in reversed(checkpoints(folder)[keep:]):
        path.unlink(missing_ok=True)


def digest(cases: Iterable[Mapping[str, Any]]) -> str:
    """A fingerprint of the cases, their labels and splits; it does not depend on where the images lie.

    >>> digest([{"case": "a", "label": 0}]) == digest([{"case": "a", "label": 1}])
    False
    """
    rows = [[case.get("case", str(case.get("image"))), str(case.get("label")), case.get("split")] for case in cases]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


def write_datalist(path: Path, cases: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> None:
    """Write what a run is trained, validated and tested on as a labels.csv with a split, in one step.

    Columns: case, image (or image_1 …, absolute), label (or mask, absolute), patient, split, and what else the labels
    had. Several labels are joined by `;`, none is `none`. Beside it `classes.csv` says how many cases of each class are
    in each split, where labels are no numbers.
    """
    channels = max((len(case["image"]) for case in cases), default=1)
    images = ["image"] if channels == 1 else [f"image_{i + 1}" for i in range(channels)]
    further = list(dict.fromkeys(name for case in cases for name in case.get("columns", ())))
    answer = "mask" if any("mask" in case for case in cases) else "label"
    rows = []
    for case in cases:
        said = case["mask"] if answer == "mask" else _names(case["label"], class_names)
        others = [case.get("columns", {}).get(name, "") for name in further]
        rows.append([case["case"], *case["image"], said, case["patient"], case["split"], *others])
    write_table(path, ["case", *images, answer, "patient", "split", *further], rows)
    if answer == "label" and not any(isinstance(case["label"], float) for case in cases):
        write_counts(path.with_name("classes.csv"), counts_of(cases, class_names))


def counts_of(cases: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many cases of each class are in each split, of those that have a split and a label.

    >>> counts_of([{"label": 1, "split": "val"}], ["a", "b"])["b"]
    {'train': 0, 'val': 1, 'test': 0}
    """
    labels = {split: [case["label"] for case in cases if case.get("split") == split] for split in SPLITS}
    return class_counts(class_names, labels)


def write_skipped(path: Path, images: Sequence[Sequence[str]]) -> None:
    """List the images that cannot be read, (source, image, reason); without any a list of an earlier run goes."""
    if images:
        write_table(path, ("source", "image", "reason"), images)
        logger.warning("%d images cannot be read and are left out: see %s", len(images), path)
    else:
        path.unlink(missing_ok=True)


def write_epoch(path: Path, row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Add an epoch to a table, in place of an earlier row of it; all rows, those of earlier epochs as text."""
    kept = read_table(path).rows if path.is_file() else ()
    rows = [*(old for old in kept if int(old["epoch"]) < row["epoch"]), row]
    write_table(path, list(row), [[of_epoch.get(name, "") for name in row] for of_epoch in rows])
    return rows


def _names(label: float | int | Sequence[int], class_names: Sequence[str]) -> str:
    if isinstance(label, float):  # the number of a regression, whole
        return repr(label)
    if isinstance(label, int):
        return class_names[label]
    return ";".join(name for name, one in zip(class_names, label, strict=True) if one) or "none"
