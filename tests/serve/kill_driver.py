"""Runs the watcher in forked processes that end themselves by SIGKILL at awkward points; started by test_kills.py.

Forking saves the seconds that importing torch and MONAI takes.

Usage: python kill_driver.py SPEC.json: folder, node, bundle, weights, and kills, which are names of POINTS or seconds.
Prints a JSON list of how each run ended: the signal, or 0. The last run is not killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import highdicom.sr  # noqa: F401 - imported before the forks, as are ITK and pynetdicom
import pynetdicom  # noqa: F401
from crossd.data import read_volume
from crossd.serve import Node, Settings, watch
from crossd.serve.ledger import Ledger
from crossd.serve.outbox import Outbox


def end(*arguments: object, **options: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(holder: object, name: str) -> None:
    setattr(holder, name, end)


def after(holder: object, name: str) -> None:
    function = getattr(holder, name)

    def call_and_end(*arguments: object, **options: object) -> None:
        function(*arguments, **options)
        end()

    setattr(holder, name, call_and_end)


def before_rename(holder: object, name: str) -> None:
    replace = os.replace
    os.replace = lambda source, target: end() if name in Path(target).parts else replace(source, target)


POINTS = {
    "the report is written and has no name yet": (before_rename, None, "outbox"),
    "the report has its name and is not in the ledger": (before, Ledger, "answered"),
    "in the middle of the ledger's transaction": (after, Ledger, "_put"),
    "the ledger knows the report": (after, Ledger, "answered"),
    "the node has accepted and the ledger does not know": (before, Ledger, "sent"),
    "the ledger knows and the file is not moved": (before, Outbox, "sent"),
}


def fork(settings: Settings, kill: str | float | None) -> int:
    """Watch in a child; returns the signal that ended it, or its exit code."""
    child = os.fork()
    if child == 0:
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            if isinstance(kill, str):
                how, holder, name = POINTS[kill]
                how(holder, name)
            os._exit(watch(settings))
        except BaseException:
            traceback.print_exc()
            os._exit(99)
    if isinstance(kill, float):
        time.sleep(kill)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    read_volume(Path(spec["folder"], "0"))
    settings = Settings(
        Path(spec["folder"]),
        Node(*spec["node"]),
        Path(spec["bundle"]),
        weights=spec["weights"],
        backend="eager",
        quiet=0.1,
        poll=0.05,
        once=True,
    )
    print(json.dumps([fork(settings, kill) for kill in [*spec["kills"], None]]))


if __name__ == "__main__":
    main()
