"""Commands run as a new Python runs them, in processes forked from one that has imported torch and MONAI.

That one is Python's fork server, which each process of pytest starts when it first needs it.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import tempfile
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from .commands import python

SECONDS = 280
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["monai.bundle", "ignite.handlers", "torch._dynamo"]  # the first optimizer imports the last
    + [f"crossd.{name}" for name in ("training", "evaluation", "ssl", "inference", "report")]
)
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}


def forked(*arguments: object, cwd: Path | str = "/") -> CompletedProcess[str]:
    """What `python -m MODULE …` or `python FILE …` ends with in a folder, and says."""
    given = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder, name) for name in ("out", "err")]
        process = CONTEXT.Process(target=_child, args=(given, str(cwd), said, {**os.environ, **ENVIRONMENT}))
        with mock.patch.dict(os.environ, ENVIRONMENT):  # the fork server's, where this starts it
            process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
        assert process.exitcode is not None
        return CompletedProcess(given, process.exitcode, *(path.read_text() for path in said))


def end() -> None:
    """End the fork server, and wait for it: the time that it took is that of the tests."""
    server = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if server is not None:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


def _child(given: list[str], cwd: str, said: list[Path], environment: dict[str, str]) -> None:
    import torch

    for descriptor, path in enumerate(said, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        sys.exit(python(*given, cwd=cwd))
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)
