"""One watcher for a folder, and one for a state folder, on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from crossd.errors import CrossDError


@contextmanager
def alone(*folders: Path) -> Iterator[None]:
    """Hold folders against a second watcher; the system lets go of them when the process ends, however it ends.

    Folders on a network are held against watchers of this machine; others only where its file system passes locks on.

    Raises:
        CrossDError: when another process holds one of them.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with alone(folder), alone(folder):
    ...     pass
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: One watcher works on a folder at a time: ... is held by another process. ...
    """
    import fcntl  # not on Windows

    with ExitStack() as held:
        for folder in folders:
            descriptor = os.open(folder, os.O_RDONLY)
            held.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise CrossDError(
                    f"One watcher works on a folder at a time: '{folder}' is held by another process. End that one, or "
                    "watch another folder with a state folder of its own (--state)."
                ) from error
        yield
