"""Small cases, a small model, and runs over them in several processes of which one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scripts.benchmarks.many_cases import cases
from scripts.benchmarks.many_cases.measure import command
from scripts.benchmarks.many_cases.watch import Answers, descendants

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def make_model(path: Path) -> Path:
    """A small network with random weights, by whose answers phantoms can be told apart."""
    return cases.make_model(path, CONFIGS / "metadata.json")


def torchrun(config: str, options: Mapping[str, Any]) -> list[str]:
    """How a user starts a config in two processes that are started again when one of them ends."""
    return command(CONFIGS, options, 2, 2, config)


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
            os.kill(list(descendants(run.pid))[-1], signal.SIGKILL)
        return run.wait(400)


def answers(output_dir: Path) -> int:
    """Whole lines in the journals of a run."""
    return Answers(output_dir).count()
