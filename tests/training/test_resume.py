"""The law: a run that is killed, at any moment and any number of times, ends with the weights of one that is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

OPTIONS = {
    "weights": "none",
    "roi_size": [8, 8, 8],
    "depth": 10,
    "width": 2,
    "epochs": 4,
    "batch_size": 4,
    "learning_rate": 0.003,
    "tensorboard": False,
    "patience": 30,
}


def kill_and_resume(root, volumes, folder, runs, kills, latest, seed):
    spec = {
        "config": str(root / "configs" / "train.json"),
        "options": {**OPTIONS, "images": str(volumes / "images"), "labels": str(volumes / "labels.csv")},
        "folder": str(folder),
        "runs": runs,
        "kills": kills,
        "latest": latest,
        "seed": seed,
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    driver = Path(__file__).with_name("kill_driver.py")
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(driver), str(folder / "spec.json")],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, **threads},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.partition("REPORT")[2])


def check(report, kills):
    assert report["whole"] == 0
    assert report["unreadable"] == []  # no half-written file ever had a checkpoint's name
    assert report["different"] == []
    ends = Counter(end for _, end in report["kills"])
    assert ends["killed"] >= kills, report["kills"]  # the others had finished before their moment came
    assert report["partial"] > 0  # some were killed while they wrote


def test_killed_runs_end_as_the_whole_run(root, volumes, tmp_path):
    check(kill_and_resume(root, volumes, tmp_path, runs=1, kills=4, latest=2, seed=0), kills=2)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_many_moments(root, volumes, tmp_path):
    check(kill_and_resume(root, volumes, tmp_path, runs=10, kills=5, latest=3, seed=1), kills=30)
