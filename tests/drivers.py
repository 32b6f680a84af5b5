"""Starts the drivers: programs that run configs in forked processes, some of which are killed, and report."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from .configs import CONFIGS
from .forks import forked

TESTS = Path(__file__).parent


def drive(driver: str, folder: Path, spec: Any) -> Any:
    """The report of a driver, which is told what to run."""
    (folder / "spec.json").write_text(json.dumps(spec, default=str))
    done = forked(TESTS / driver, folder / "spec.json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("REPORT")[2])


def kill_and_resume(folder: Path, configs: list[str], options: dict[str, Any], **moments: int) -> tuple[int, int]:
    """Kill training runs and resume them, which end with the bits of the whole run.

    Returns how many were killed (others had finished before their moment came), and how many while they wrote a file.
    """
    files = [str(CONFIGS / f"{config}.json") for config in configs]
    report = drive("kill_driver.py", folder, {"config": files, "options": options, "folder": folder, **moments})
    assert report["whole"] == 0, (folder / "whole.log").read_text()
    assert report["unreadable"] == []  # no half-written file ever had a checkpoint's name
    assert report["different"] == []  # model.pt and the last checkpoint
    tables = {(run / "metrics.csv").read_text() for run in folder.iterdir() if (run / "metrics.csv").is_file()}
    assert len(tables) < 2  # where it is written: every epoch once, with the same numbers
    return Counter(end for _, end in report["kills"])["killed"], report["partial"]
