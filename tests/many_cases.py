"""Small cases, a small model, and runs over them in several processes of which one is killed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from crossd.checkpoints import save_checkpoint
from crossd.data.nifti import write_nifti
from crossd.data.phantoms import vessel_phantom
from crossd.inference import network_from_card

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def make_cases(folder: Path, count: int) -> Path:
    """Files `c000000.nii.gz` … of phantoms of 16³ voxels; the folder."""
    for number in range(count):
        write_nifti(folder / f"c{number:06}.nii.gz", vessel_phantom(number // 2, bool(number % 2), 16))
    return folder


def make_model(path: Path) -> Path:
    """A small network with random weights, by whose answers phantoms can be told apart."""
    card = json.loads((CONFIGS / "metadata.json").read_text(encoding="utf-8"))["card"]
    card.pop("scope", None)  # of the shipped network
    classes = len(card["class_names"])
    card["network"] = {"spatial_dims": 3, "in_channels": 1, "num_classes": classes, "depth": 10, "width": 4}
    card["input"] |= {"channels": ["image"], "spacing": None, "roi_size": [16] * 3}
    torch.manual_seed(3)
    network = network_from_card(card)
    with torch.no_grad():
        network.get_parameter("fc.weight").mul_(20)
    save_checkpoint(path, network, card=card)
    return path


def torchrun(config: str, options: Mapping[str, Any]) -> list[str]:
    """How a user starts a config in two processes that are started again when one of them ends."""
    files = [str(CONFIGS / f"{config}.json"), str(CONFIGS / f"multi_gpu_{config}.json")]
    launch = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--max_restarts", "2"]
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [sys.executable, "-m", *launch, "-m", "monai.bundle", "run", "--config_file", str(files), *given]


def run_and_kill_one(arguments: list[str], log: Path, when: Callable[[], bool] | None) -> int:
    """Run a command, and kill the last process that it started when it is time; its exit code.

    Args:
        arguments: the command.
        log: receives what it says.
        when: asked again and again; None: none is killed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    with log.open("a") as said:
        run = subprocess.Popen(arguments, stdout=said, stderr=said, cwd="/", env=environment)
        while when is not None and run.poll() is None and not when():
            time.sleep(0.02)
        if when is not None:
            assert run.poll() is None, f"it ended before one was killed: {log.read_text()}"
            os.kill(list(_descendants(run.pid))[-1], signal.SIGKILL)
        return run.wait(400)


def answers(output_dir: Path) -> int:
    """Whole lines in the journals of a run."""
    return sum(path.read_bytes().count(b"\n") for path in (output_dir / "journal").glob("process_*.jsonl"))


def account(output_dir: Path, images: Path) -> dict[str, int]:
    """Cases and rows of `predictions.csv`: cases without a row, rows too many, failures, and whether in order."""
    with (output_dir / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = [(row["case"], row["status"]) for row in csv.DictReader(file)]
    wanted = sorted(path.name.removesuffix(".nii.gz") for path in images.iterdir())
    found = Counter(case for case, _ in rows)
    return {
        "cases": len(wanted),
        "rows": len(rows),
        "lost": sum(name not in found for name in wanted),
        "doubled": sum(count - 1 for count in found.values()),
        "failed": sum(status != "ok" for _, status in rows),
        "out_of_order": int([case for case, _ in rows] != wanted),
        "answers": answers(output_dir),
    }


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from _descendants(child)
