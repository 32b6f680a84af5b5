"""The files by which a run can be resumed: checkpoints that are whole, and the cases and settings they belong to."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossd.checkpoints import read_checkpoint
from crossd.errors import CrossDError
from crossd.files import write_whole

logger = logging.getLogger(__name__)


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

    Raises:
        CrossDError: when there are checkpoints and none can be read.
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

    Columns: case, image (or image_1 …, absolute), label (or mask, absolute), patient, split. Several labels are joined
    by `;`, none is `none`.
    """
    channels = max((len(case["image"]) for case in cases), default=1)
    images = ["image"] if channels == 1 else [f"image_{i + 1}" for i in range(channels)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    answer = "mask" if any("mask" in case for case in cases) else "label"
    writer.writerow(["case", *images, answer, "patient", "split"])
    for case in cases:
        said = case["mask"] if answer == "mask" else _names(case["label"], class_names)
        writer.writerow([case["case"], *case["image"], said, case["patient"], case["split"]])
    write_whole(path, text.getvalue())


def _names(label: int | Sequence[int], class_names: Sequence[str]) -> str:
    if isinstance(label, int):
        return class_names[label]
    return ";".join(name for name, one in zip(class_names, label, strict=True) if one) or "none"
