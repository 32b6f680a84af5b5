"""2D pre-training that is killed, at any moment, ends with the weights of a run that is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

OPTIONS = {"width": 2, "epochs": 3, "mixup": 0.3, "ema": 0.9, "schedule": "cosine", "warmup_epochs": 1}


def kill_and_resume(root, images, small, folder, **moments):
    options = {**small, **OPTIONS, "images": str(images)}
    spec = {"config": str(root / "configs" / "pretrain_2d.json"), "options": options, "folder": str(folder), **moments}
    (folder / "spec.json").write_text(json.dumps(spec))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("kill_driver.py")), str(folder / "spec.json")],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.partition("REPORT")[2])
    assert report["whole"] == 0, (folder / "whole.log").read_text()
    assert report["unreadable"] == []
    assert report["different"] == []
    tables = {(run / "metrics.csv").read_text() for run in folder.iterdir() if (run / "metrics.csv").is_file()}
    assert len(tables) == 1  # every epoch once, with the same numbers
    return Counter(end for _, end in report["kills"])["killed"]


def test_killed_runs_end_as_the_whole_run(root, images, small, tmp_path):
    assert kill_and_resume(root, images, small, tmp_path, runs=1, kills=3, latest=3, seed=0) >= 2


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_many_moments(root, images, small, tmp_path):
    assert kill_and_resume(root, images, small, tmp_path, runs=8, kills=5, latest=12, seed=1) >= 24
