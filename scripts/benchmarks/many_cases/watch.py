"""A run over cases that is looked at while it works, and killed in the middle where that is asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossd.errors import CrossDError

POLL = 0.2  # seconds between two looks at the processes


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
            memory = {pid: resident(pid) for pid in workers}
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


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process has started, and those that they have."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


def resident(pid: int) -> tuple[float, float]:
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
