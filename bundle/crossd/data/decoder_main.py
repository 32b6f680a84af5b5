"""What the process that decodes does; it imports no torch. `crossd.data.decoder` starts it and asks it."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import struct
import tempfile
import warnings
from collections.abc import Callable
from importlib import import_module
from mmap import mmap
from typing import Any, NoReturn

import numpy as np

HEAD = struct.Struct("!I")  # before each message: bytes of its JSON
_ROOM = 2**31  # bytes of addresses for libraries that are still to be loaded: ITK takes one GiB
_TAKES = 5.0  # seconds that the parent needs to see that time is over


def main() -> NoReturn:
    """Answer the socket that is this process's standard input until its other end is closed.

    That happens too when the process at the other end is killed. What is running then ends by its bound on time.
    """
    channel = socket.socket(fileno=os.dup(0))
    for ending in (signal.SIGINT, signal.SIGTERM):  # sent to all of a group, of which the first may finish its case
        signal.signal(ending, signal.SIG_IGN)
    send(channel, {})  # ready
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what codecs say of a file, in its own words
        os.dup2(silence, stream)
    while True:
        request, _ = receive(channel)
        signal.alarm(int(request["seconds"] + _TAKES) + 1)  # for a parent that is no longer there to watch
        _bound(request["room"])
        reply, descriptor = _reply(request)
        signal.alarm(0)
        send(channel, reply, descriptor=descriptor)
        if descriptor is not None:
            os.close(descriptor)


def send(channel: socket.socket, message: Any, descriptor: int | None = None) -> None:
    """One message: JSON, and a file that is open here and will be there."""
    text = json.dumps(message).encode()
    socket.send_fds(channel, [HEAD.pack(len(text))], [] if descriptor is None else [descriptor])
    channel.sendall(text)


def receive(channel: socket.socket) -> tuple[Any, int | None]:
    """What `send` sent; EOFError where the other end is closed, TimeoutError where nothing comes in time."""
    head, descriptors, _, _ = socket.recv_fds(channel, HEAD.size, 1)
    (size,) = HEAD.unpack(head + _exactly(channel, HEAD.size - len(head)))
    return json.loads(_exactly(channel, size)), next(iter(descriptors), None)


def _exactly(channel: socket.socket, count: int) -> bytes:
    whole = bytearray(count)
    rest = memoryview(whole)
    while rest:
        taken = channel.recv_into(rest)
        if not taken:
            raise EOFError("the other end is closed")
        rest = rest[taken:]
    return bytes(whole)


def function_of(task: str) -> Callable[..., np.ndarray]:
    """A function below `crossd.data`, by the module and its name.

    >>> function_of("dicom.stored:decoded").__name__
    'decoded'
    """
    module, _, name = task.partition(":")
    function: Callable[..., np.ndarray] = getattr(import_module(f"crossd.data.{module}"), name)
    return function


def _reply(request: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
    """What the function gave or raised, and what it told of on the way."""
    shared: dict[int, int] = {}  # where arrays begin, and the file each lies in
    reply: dict[str, Any] = {"logged": []}
    descriptor = None

    def allocate(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        file = _memory()
        os.ftruncate(file, int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize)
        array = np.frombuffer(mmap(file, 0), dtype).reshape(shape)
        shared[array.ctypes.data] = file
        return array

    told = _Told(reply["logged"])
    logging.getLogger().addHandler(told)
    try:
        with warnings.catch_warnings(record=True) as warned:
            for kind in (UserWarning, RuntimeWarning):  # others are for who writes code
                warnings.simplefilter("always", kind)
            array = function_of(request["task"])(**request["arguments"], allocate=allocate)
            if array.ctypes.data not in shared or not array.flags.c_contiguous:
                np.copyto(copy := allocate(array.shape, array.dtype), array)
                array = copy
            descriptor = shared.pop(array.ctypes.data)
            reply |= {"shape": array.shape, "dtype": array.dtype.str}
    except Exception as error:
        reply |= {"error": str(error), "kinds": [kind.__name__ for kind in type(error).__mro__]}
    finally:
        logging.getLogger().removeHandler(told)
        for file in shared.values():
            os.close(file)
    return reply | {"warnings": [str(warning.message) for warning in warned]}, descriptor


def _memory() -> int:
    """A file without a name, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("crossd")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _bound(room: int) -> None:
    """Let this process have so many bytes of addresses more than it has now, and leave no image of its memory."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm", "rb") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        bound = taken + _ROOM + room
        resource.setrlimit(resource.RLIMIT_AS, (bound if most == resource.RLIM_INFINITY else min(bound, most), most))
    except (OSError, ValueError):  # no such file, or no such bound, on this system
        pass


class _Told(logging.Handler):
    """Log records, to be logged again where the user sees them."""

    def __init__(self, records: list[list[Any]]) -> None:
        super().__init__(logging.WARNING)
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append([record.name, record.levelno, record.getMessage()])
