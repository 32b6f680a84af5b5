"""A run over very many small cases that is killed in the middle and resumed: what is lost, and what memory it takes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from crossd.checkpoints import save_checkpoint
from crossd.data.nifti_writing import write_nifti
from crossd.data.phantoms import vessel_phantom
from crossd.errors import CrossDError
from crossd.inference import network_from_card

POLL = 0.2  # seconds between two looks at the processes


def make_many(folder: Path, count: int, distinct: int = 200, size: int = 16) -> Path:
    """`count` files of phantoms, of which `distinct` differ; the others are hard links to them.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [folder / f"c{number:06}.nii.gz" for number in range(count)]
    for number, path in enumerate(names):
        if number < distinct:
            write_nifti(path, vessel_phantom(number // 2, bool(number % 2), size))
        else:
            os.link(names[number % distinct], path)
    return folder


def make_model(path: Path, metadata: Path, window: int = 16) -> Path:
    """A checkpoint of a small network (depth 10, width 4) with random weights: what is measured is the run around it.

    Args:
        path: of the checkpoint.
        metadata: the bundle's `metadata.json`, whose card is taken but for the network and the window.
        window: voxels of its sides.
    """
    card = json.loads(metadata.read_text(encoding="utf-8"))["card"]
    classes = len(card["class_names"])
    card["network"] = {"spatial_dims": 3, "in_channels": 1, "num_classes": classes, "depth": 10, "width": 4}
    card["input"] |= {"channels": ["image"], "spacing": None, "roi_size": [window] * 3}
    torch.manual_seed(3)
    network = network_from_card(card)
    with torch.no_grad():
        network.get_parameter("fc.weight").mul_(20)  # so that different phantoms have different probabilities
    save_checkpoint(path, network, card=card)
    return path


def command(
    configs: Path, options: Mapping[str, Any], processes: int = 1, restarts: int = 0, config: str = "inference"
) -> list[str]:
    """How a user starts the run: `python -m monai.bundle run`, or `torchrun` with the overlay."""
    files = [str(configs / f"{config}.json")]
    launch = ["-m", "monai.bundle"]
    if processes > 1:
        files.append(str(configs / f"multi_gpu_{config}.json"))
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), *launch]
        launch[5:5] = ["--max_restarts", str(restarts)]
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [sys.executable, *launch, "run", "--config_file", str(files if processes > 1 else files[0]), *given]


@dataclass
class Watched:
    """What was seen of a run.

    Attributes:
        code: its exit code; negative for the signal that ended it.
        seconds: that it took.
        peaks: most MB resident of each process that worked on cases, in the order in which they were seen.
        course: answers, and MB resident of the first such process then, from look to look.
        killed: whether it was reached by `kill_after`.
    """

    code: int
    seconds: float
    peaks: list[float]
    course: list[tuple[int, float]]
    killed: bool


def watch(
    arguments: Sequence[str],
    output_dir: Path,
    kill_after: int | None = None,
    worker: bool = False,
    log: Path | None = None,
    seconds: float = 3600,
) -> Watched:
    """Run a command and look at its memory; end it by SIGKILL when there are so many answers.

    Args:
        arguments: of `command`.
        output_dir: of the run.
        kill_after: answers in the journal; None to let it end.
        worker: kill one process of those that `torchrun` started, and let it go on; False kills all of them.
        log: receives what it says.
        seconds: after which it is taken to hang.

    Raises:
        CrossDError: when it hangs.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    started = time.monotonic()
    answers, killed = Answers(output_dir), False
    peaks: dict[int, float] = {}
    course: list[tuple[int, float]] = []
    with open(log or os.devnull, "a") as said:
        run = subprocess.Popen(
            arguments, stdout=said, stderr=said, env=environment, start_new_session=True, cwd=output_dir.parent
        )
        while run.poll() is None:
            workers = list(descendants(run.pid)) or [run.pid]
            memory = {pid: _resident(pid) for pid in workers}
            peaks |= {pid: most for pid, (_, most) in memory.items() if most}
            count = answers.count()
            course.append((count, memory[workers[0]][0]))
            if kill_after is not None and not killed and count >= kill_after:
                killed = True
                for pid in workers[-1:] if worker else {run.pid, *workers}:
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() - started > seconds:
                for pid in {run.pid, *workers}:
                    os.kill(pid, signal.SIGKILL)
                run.wait()
                raise CrossDError(f"A run must end, got none after {seconds:.0f} s: see {log or 'its output'}.")
            time.sleep(POLL)
    return Watched(run.returncode, time.monotonic() - started, list(peaks.values()), course, killed)


class Answers:
    """Counts the whole lines in the journals of a run, reading what has come since the last time.

    Args:
        output_dir: of the run.
    """

    def __init__(self, output_dir: Path) -> None:
        self.folder = output_dir / "journal"
        self._read: dict[Path, tuple[int, int]] = {}

    def count(self) -> int:
        """How many there are now."""
        for part in self.folder.glob("process_*.jsonl"):
            read, lines = self._read.get(part, (0, 0))
            with part.open("rb") as file:
                file.seek(read)
                fresh = file.read()
            whole = fresh.rfind(b"\n") + 1
            self._read[part] = (read + whole, lines + fresh.count(b"\n"))
        return sum(lines for _, lines in self._read.values())


def account(output_dir: Path, images: Path) -> dict[str, int]:
    """Cases, rows of `predictions.csv`, cases without a row, and rows that a case has too many.

    Returns:
        `cases`, `rows`, `lost`, `doubled`, `failed`, `out_of_order` (0 or 1) and `answers`, lines of the journals: more
        than cases where some were done twice.
    """
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
        "answers": Answers(output_dir).count(),
    }


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process has started, and those that they have."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


def _resident(pid: int) -> tuple[float, float]:
    """MB that a process has resident, and the most it had."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    found = {
        name: int(text.split()[0]) * 1.024e-3
        for name, _, text in (line.partition(":") for line in lines)
        if name in ("VmRSS", "VmHWM")
    }
    return found.get("VmRSS", 0.0), found.get("VmHWM", 0.0)
