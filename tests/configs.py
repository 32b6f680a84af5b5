"""The bundle's configs as MONAI runs them, in this process, and what a user is told where a run is refused."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import nibabel
import numpy as np
import pytest
from crossd.errors import rule_broken
from monai.bundle import ConfigWorkflow

from .forks import ENVIRONMENT, forked

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def workflow(*configs: str, **options: Any) -> ConfigWorkflow:
    """A prepared workflow of configs, by name or as files, each over those before it; options may be paths."""
    files = [str(CONFIGS / f"{config}.json") if "." not in config else config for config in configs]
    kind = "inference" if Path(configs[0]).name.startswith("inference") else "train"
    given = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    made = ConfigWorkflow(files if files[1:] else files[0], workflow_type=kind, logging_file=False, **given)
    made.initialize()
    return made


def run(*configs: str, **options: Any) -> ConfigWorkflow:
    """The workflow when it has run."""
    made = workflow(*configs, **options)
    made.run()
    return made


def started(*configs: str, cwd: Path | str = "/", processes: int = 1, **options: Any) -> CompletedProcess[str]:
    """A user's command, of `torchrun` where it is to be several processes, when it has ended; options may be paths."""
    files = [str(CONFIGS / f"{config}.json") for config in configs]
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    words = ["-m", "monai.bundle", "run", "--config_file", str(files), *given]
    if processes == 1:
        return forked(*words, cwd=cwd)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    environment = {**os.environ, **ENVIRONMENT}
    return subprocess.run([*launch, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=500)


def refused(call: Callable[[], Any], *said: str) -> None:
    """A run ends by a broken rule whose message holds this."""
    with pytest.raises(RuntimeError) as caught:  # MONAI's, ours is its cause
        call()
    message = str(rule_broken(caught.value))
    assert all(part in message for part in said), message


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def cubes(folder: Path, shape: tuple[int, int, int], splits: Sequence[str] = ()) -> Path:
    """Write 24 volumes `images/c00.nii.gz` …, of which odd ones hold a bright cube, and `labels.csv`."""
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    lines = ["image,label,patient,split" if splits else "image,label,patient"]
    for case in range(24):
        voxels = rng.normal(100, 10, shape).astype(np.float32)
        if case % 2:
            voxels[2:6, 2:6, 2:6] += 60
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 1.5, 1])), folder / "images" / f"c{case:02}.nii.gz")
        cells = [f"c{case:02}.nii.gz", "cube" if case % 2 else "empty", f"p{case}", *splits[case : case + 1]]
        lines.append(",".join(cells))
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def card_input(size: int, **changes: Any) -> dict[str, Any]:
    """The `input` of a card of one grey channel, for windows of so many voxels a side."""
    seen = {"channels": ["image"], "plane": "axial", "spacing": None, "roi_size": [size] * 3}
    return {**seen, "intensity": {"mode": "range"}, "mean": 0.0, "std": 1.0, **changes}
