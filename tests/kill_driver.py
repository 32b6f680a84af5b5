"""Trains in forked processes that are ended by SIGKILL, see `process_driver.py`; started by `drivers.kill_and_resume`.

Usage: python kill_driver.py SPEC.json, which holds config, options, folder, runs, kills (of each run), latest (file
operation to be killed in) and seed. Prints a JSON report.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import crossd.ssl  # noqa: F401 - imported before the forks
import torch
from crossd.checkpoints import read_checkpoint
from process_driver import arm, run_config  # beside it

WHEN = ("half of a file written", "at some time", "before a rename", "after a rename", "at some time")


def fork(spec: dict, output_dir: Path, when: str = "", count: int = 0, seconds: float | None = None) -> int:
    """Train in a child and return how it ended, as `os.waitpid` says it; kill it after so many seconds."""
    child = os.fork()
    if child == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        log = os.open(output_dir.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 2)
        try:
            arm(when, count)
            run_config(spec["config"], "train", {**spec["options"], "output_dir": str(output_dir)})
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def differences(one: object, two: object, where: str) -> list[str]:
    """Where two checkpoints are not the same, bit by bit."""
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return [] if torch.equal(one, two) else [where]
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        return [name for key in one for name in differences(one[key], two[key], f"{where}/{key}")]
    if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        pairs = zip(one, two, strict=True)
        return [name for i, (a, b) in enumerate(pairs) for name in differences(a, b, f"{where}/{i}")]
    return [] if one == two else [where]


def main(spec: dict) -> dict:
    rng = random.Random(spec["seed"])
    folder = Path(spec["folder"])
    whole = folder / "whole"
    started = time.monotonic()
    report: dict = {"whole": fork(spec, whole), "kills": [], "unreadable": [], "different": [], "partial": 0}
    report["seconds"] = duration = time.monotonic() - started
    last = max(path.name for path in whole.glob("checkpoint_*.pt"))
    for run in range(spec["runs"]):
        output_dir = folder / f"run{run}"
        for kill in range(spec["kills"]):
            when = WHEN[(run + kill) % len(WHEN)]
            if when == "at some time":
                status = fork(spec, output_dir, seconds=rng.uniform(0.05, 0.6) * duration)
            else:
                status = fork(spec, output_dir, when, count=rng.randint(1, spec["latest"]))
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            report["kills"].append([when, "killed" if killed else f"status {status}"])
            report["partial"] += len(list(output_dir.glob(".*.part")))
            for path in [*output_dir.glob("checkpoint_*.pt"), *output_dir.glob("model.pt")]:
                try:
                    read_checkpoint(path)
                except Exception as error:
                    report["unreadable"].append(f"{path}: {error}")
        status = fork(spec, output_dir)
        if status:
            report["different"].append(f"run{run} ended with status {status}: {output_dir.with_suffix('.log')}")
            continue
        for name in ("model.pt", last):
            one, two = read_checkpoint(whole / name), read_checkpoint(output_dir / name)
            report["different"] += differences(one, two, f"run{run}/{name}")
    return report


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("REPORT" + json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
