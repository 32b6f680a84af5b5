"""A command under a watch: how long it may take, and how much memory its process may hold (Linux)."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

_EVERY = 0.05  # seconds between two looks
_TAIL = 4000


@dataclass(frozen=True)
class Watched:
    """How a command ended.

    Attributes:
        code: its exit code; negative for a signal.
        ended: "" by itself, "time" or "memory" where it was killed for it.
        seconds: that it took.
        peak: bytes of its largest resident set, as far as it was looked at.
        tail: the end of what it printed.
    """

    code: int
    ended: str
    seconds: float
    peak: int
    tail: str


def watch(command: Sequence[str], timeout: float, limit: int, **environment: str) -> Watched:
    """Run a command and end it when it takes too long or too much.

    Args:
        command: and its arguments.
        timeout: seconds.
        limit: bytes of its resident set.
        environment: variables added to those of this process.

    >>> import sys
    >>> watch([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.2, limit=2**30).ended
    'time'
    >>> watch([sys.executable, "-c", "x = b'1' * 2**29; input()"], timeout=60, limit=2**27).ended
    'memory'
    """
    start, peak, ended = time.monotonic(), 0, ""
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=printed, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            ended = "memory" if peak > limit else "time" if time.monotonic() - start > timeout else ""
            if ended:
                process.kill()
                process.wait()
                break
            time.sleep(_EVERY)
        if process.stdin is not None:
            process.stdin.close()
        printed.seek(0)
        tail = printed.read()[-_TAIL:].decode(errors="replace")
    return Watched(process.returncode, ended, time.monotonic() - start, peak, tail)


def _resident(pid: int) -> int:
    """Bytes that a process holds; 0 where it has ended, or where the system does not tell."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            return next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0
