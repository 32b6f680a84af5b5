"""The process that runs codecs: watched, bounded in time and memory, and started again when it ends.

A codec that a damaged file leads astray may end its process, never return, or fill the memory. So codecs run in a
process of their own, one for each process that reads. What they do to it costs the file that is read, and no other.
It is started by `subprocess`, which works in the workers of a DataLoader, and ends with the process that started it.
"""

from __future__ import annotations

import atexit
import builtins
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from multiprocessing.spawn import get_executable
from pathlib import Path
from typing import Any

import numpy as np

from crossd.data.decoder_main import function_of, receive, send
from crossd.errors import CrossDError

SECONDS = float(os.environ.get("CROSSD_READ_SECONDS", 120))  # and one more for each MiB of the files
_STARTS_IN = 60.0  # seconds; a quarter of one is usual
_START = """
import json, sys, types
sys.path[:], packages = json.loads(sys.argv[1])
for name, path in packages.items():  # without their __init__, which import torch
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from crossd.data.decoder_main import main
main()
"""
_ONE_THREAD = {  # each thread takes addresses, and codecs use one
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1"),
    "MALLOC_ARENA_MAX": "1",
}


def decode(task: str, files: Sequence[str], room: int, **arguments: Any) -> np.ndarray:
    """The array that a function of this package returns, run in the process that decodes.

    On Windows, where no open file can be handed over, it runs in this one.

    Args:
        task: the function, `module:name` below `crossd.data`. It takes `allocate`, which is to be called as
            `numpy.empty` for the array that it returns.
        files: what it reads: named in messages, the first; and by their size a part of the time it may take.
        room: bytes of memory that it may take.
        arguments: others, as plain JSON values.

    Raises:
        CrossDError: what the function raised so; a file that ended the process, or took longer than two minutes (or
            the seconds that the environment variable CROSSD_READ_SECONDS has) and one second for each MiB of it.
        Exception: what else the function raised, as the nearest kind that Python has.
    """
    if not hasattr(socket, "send_fds") or not hasattr(os, "fork"):
        return function_of(task)(**arguments, allocate=np.empty)
    size = sum(os.path.getsize(file) for file in set(files) if os.path.isfile(file))
    seconds = SECONDS + size / 2**20
    request = {"task": task, "arguments": arguments, "room": room, "seconds": seconds}
    with _lock:
        reply, array = _running().ask(request, files[0])
    for name, level, text in reply["logged"]:
        logging.getLogger(name).log(level, "%s", text)
    for text in reply["warnings"]:
        warnings.warn(text, stacklevel=2)
    if array is None:
        if "CrossDError" in reply["kinds"]:
            raise CrossDError(reply["error"])
        kinds = (getattr(builtins, kind, None) for kind in reply["kinds"])
        raise next(kind for kind in kinds if kind is not None)(reply["error"])
    return array


class Decoder:
    """The process, and the end of the socket by which it is asked."""

    def __init__(self) -> None:
        here = Path(__file__).parent
        packages = {"crossd": str(here.parent), "crossd.data": str(here)}
        self.socket, its = socket.socketpair()
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has started
        with its:
            self.process = subprocess.Popen(
                [get_executable(), "-c", _START, json.dumps([sys.path, packages])],
                stdin=its.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self.said,
                env={**os.environ, **_ONE_THREAD},
            )
        self.ready = False

    def ask(self, request: dict[str, Any], name: str) -> tuple[dict[str, Any], np.ndarray | None]:
        """Its reply, and the array where there is one."""
        try:
            self._wait_until_ready()
            self.socket.settimeout(request["seconds"])
            send(self.socket, request)
            reply, descriptor = receive(self.socket)
        except TimeoutError:
            self.end()
            raise CrossDError(
                f"A file must be read in its time: decoding '{name}' took longer than {request['seconds']:.0f} s and "
                "was stopped. It is damaged, or lies on a slow drive: copy it again, to a faster one, or set the "
                "environment variable CROSSD_READ_SECONDS."
            ) from None
        except (EOFError, ConnectionError):
            code = self.end()
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise CrossDError(
                f"A file must not end the process that reads it: '{name}' ended its decoder ({how}). It is damaged, "
                "or there is too little memory: copy it again, or convert it."
            ) from None
        except BaseException:  # an interrupt: the reply would be taken for that of the next request
            self.end()
            raise
        return reply, None if descriptor is None else _mapped(descriptor, reply)

    def _wait_until_ready(self) -> None:
        if self.ready:
            return
        self.socket.settimeout(_STARTS_IN)
        try:
            receive(self.socket)
        except (EOFError, ConnectionError, TimeoutError):
            code = self.end()
            self.said.seek(0)
            said = self.said.read().decode(errors="replace").strip().splitlines()
            raise CrossDError(
                f"Compressed images are decoded by a process of their own, and it must start: "
                f"'{os.fsdecode(get_executable())}' ended ({code}{f', {said[-1]}' if said else ''}). "
                "Repair the Python environment."
            ) from None
        self.said.close()
        self.ready = True

    def end(self) -> int:
        """Kill it; its exit status, which is its own where it had ended before."""
        self.socket.close()
        try:
            return self.process.wait(0.5)  # what the kernel ends a moment after it closed the socket
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def _mapped(descriptor: int, reply: dict[str, Any]) -> np.ndarray:
    """The array in a file that is open: its pages, copied where they are written to, and no open file for each."""
    import torch

    try:
        size = int(np.prod(reply["shape"], dtype=object)) * np.dtype(reply["dtype"]).itemsize
        stored = torch.from_file(f"/dev/fd/{descriptor}", shared=False, size=size, dtype=torch.uint8)
    finally:
        os.close(descriptor)
    return stored.numpy().view(reply["dtype"]).reshape(reply["shape"])


_lock = threading.Lock()
_decoder: Decoder | None = None


def _running() -> Decoder:
    """That of this process, started where there is none or none any more."""
    global _decoder
    if _decoder is None or _decoder.process.poll() is not None:
        _decoder = Decoder()
    return _decoder


def start() -> None:
    """Start it in the background, for what will be asked soon."""
    if hasattr(socket, "send_fds") and hasattr(os, "fork"):
        with _lock:
            _running()


@atexit.register
def stop() -> None:
    """End it; it is started again where it is needed."""
    global _decoder
    if _decoder is not None:
        _decoder.process.kill()
        _decoder.end()
        _decoder = None


def _forget() -> None:
    """In a process that was forked: leave the decoder to the one that started it."""
    global _decoder, _lock
    if _decoder is not None:
        _decoder.socket.close()
        _decoder.process.returncode = 0  # no child of this process
    _decoder, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
