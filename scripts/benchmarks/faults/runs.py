"""Runs of the inference bundle on folders, under a watch, and which folder one of them ended on."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.benchmarks.faults.watch import Watched, watch


class Runner:
    """Runs the bundle on a folder, and remembers what it needed.

    Args:
        place: receives the output.
        config: `inference.json`.
        weights: the model.
        timeout: seconds for one run.
        limit: bytes that a run may hold.
        most_voxels: of a volume, where that is less than usual, so that what damaged files declare fits the limit.

    Attributes:
        seconds: of all runs.
        peak: bytes of the largest resident set of all runs.
        found: rows of the last run.
    """

    def __init__(
        self, place: Path, config: str, weights: str, timeout: float, limit: int, most_voxels: int | None = None
    ) -> None:
        self.place, self.config, self.weights, self.timeout, self.limit = place, config, weights, timeout, limit
        self.environment = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        self.environment |= {} if most_voxels is None else {"CROSSD_MAX_VOXELS": str(most_voxels)}
        self.seconds, self.peak = 0.0, 0
        self.found: list[dict[str, Any]] = []

    def __call__(self, images: Path) -> Watched:
        """Classify what is in a folder."""
        output = self.place / "output"
        shutil.rmtree(output, ignore_errors=True)
        command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", self.config]
        command += ["--images", str(images), "--output_dir", str(output), "--weights", self.weights]
        command += ["--backend", "eager"]
        done = watch(command, self.timeout, self.limit, **self.environment)
        self.seconds += done.seconds
        self.peak = max(self.peak, done.peak)
        try:
            self.found = json.loads((output / "predictions.json").read_text(encoding="utf-8"))["cases"]
        except (OSError, ValueError):
            self.found = []
        return done


def run_all(run: Runner, folders: Sequence[Path]) -> dict[Path, list[dict[str, Any]] | str]:
    """The rows of each folder; where a run ends before its end, of each half, and down to the one."""
    place = folders[0].parent
    tree = place / "run" if len(folders) > 1 else folders[0]
    if len(folders) > 1:  # one tree of all of them
        tree.mkdir()
        for folder in folders:
            folder.rename(tree / folder.name)
    done, found = run(tree), run.found
    if len(folders) > 1:
        found = [{**row, "source": row["source"].replace(str(tree), str(place), 1)} for row in found]
        for folder in folders:
            (tree / folder.name).rename(folder)
        tree.rmdir()
    if not done.ended and (done.code in (0, 2) or (done.code == 1 and found)):
        return {folder: rows_below(found, folder) for folder in folders}
    if len(folders) > 1:
        middle = len(folders) // 2
        return run_all(run, folders[:middle]) | run_all(run, folders[middle:])
    if done.code == 1 and "error: " in done.tail:  # all there was is refused as a whole
        return {folders[0]: [{"source": str(folders[0]), "status": "failed", "reason": done.tail.split("error: ")[-1]}]}
    return {folders[0]: done.ended or "crash"}


def rows_below(found: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """The rows whose source is a folder or below it."""
    return [row for row in found if row["source"] == str(folder) or row["source"].startswith(f"{folder}{os.sep}")]
