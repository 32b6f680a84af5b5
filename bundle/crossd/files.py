"""Files written whole or not at all, held by one process, and told apart by a digest."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

logger = logging.getLogger(__name__)

_UNSYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)  # of a folder that its file system cannot synchronise
_held: dict[str, tuple[int, int]] = {}  # real path of a locked file: its descriptor, and how often it is held
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_held.clear)  # locks of files are not inherited


@contextmanager
def replaced(path: str | os.PathLike[str], mode: str = "wb", *, shared: bool = False) -> Iterator[IO[Any]]:
    """A new file for `path`, which it replaces in one step when the block ends.

    The content goes to a hidden file beside `path`, is synchronised to disk, and renamed: a process killed at any
    moment leaves the former file, and never a partial one, under that name. An exception leaves nothing of the new one.
    Permissions are those of a new file. A symbolic link at `path` is replaced, what it points to is left as it is.

    Args:
        path: of the file; its folder is made when missing.
        mode: `"wb"`, or `"w"` for UTF-8 text.
        shared: other processes may write the same file at the same time: each has a hidden file of its own, and the
            last one stays.

    Yields:
        The open file; `.name` is its path, for writers that open files themselves.

    Raises:
        OSError: where the folder or the disk refuses.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with replaced(path, "w") as file:
    ...     _ = file.write("new")
    ...     path.exists(), Path(file.name).name
    (False, '.a.txt.part')
    >>> path.read_text()
    'new'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f".{os.getpid()}-{os.urandom(4).hex()}" if shared else ""
    part = path.with_name(f".{path.name}{own}.part")
    part.unlink(missing_ok=True)  # of a killed process; a link that somebody put there is not followed
    try:
        with part.open(mode, encoding=None if "b" in mode else "utf-8", newline=None if "b" in mode else "") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    _synchronise(path.parent)


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file in one step, text as UTF-8; see `replaced`.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "new" / "a.txt"
    >>> write_whole(path, "π")
    >>> path.read_bytes()
    b'\\xcf\\x80'
    """
    with replaced(path) as file:
        file.write(content if isinstance(content, bytes) else content.encode())


def _synchronise(folder: Path) -> None:
    """Have the names in a folder on the disk too, so that they survive a power cut."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _UNSYNCED:
            raise


def lock(path: str | os.PathLike[str]) -> ExitStack:
    """Hold a file or a folder against other processes of this machine, until the end of this one however it ends.

    A file, made when missing, is this process's own: it may be held again, and is free when all have let go. A folder
    is held once. On network drives other machines are kept out where the file system passes locks on; where there are
    no locks, as on Windows, a warning says so.

    Returns:
        What holds it: `close` it, or use it in a `with` statement.

    Raises:
        BlockingIOError: another process holds it.
        OSError: it cannot be opened.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with lock(folder), lock(folder):
    ...     pass
    Traceback (most recent call last):
        ...
    BlockingIOError: [Errno ...] held by another process: '/...'
    >>> with lock(folder / "lock"), lock(folder / "lock"):
    ...     pass
    """
    name, holding = os.path.realpath(path), ExitStack()
    try:
        import fcntl
    except ImportError:
        logger.warning("%s is not held against other processes: this system has no locks", name)
        return holding
    if os.path.isdir(name):
        descriptor = os.open(name, os.O_RDONLY)
        holding.callback(os.close, descriptor)
        take: Any = fcntl.flock
    elif name in _held:  # a second descriptor, when closed, would let go of the first's lock
        descriptor, times = _held[name]
        _held[name] = (descriptor, times + 1)
        holding.callback(_let_go, name)
        return holding
    else:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        _held[name] = (descriptor, 1)
        holding.callback(_let_go, name)
        take = fcntl.lockf  # of the process: worker processes do not keep it when their parent is killed
    try:
        take(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        holding.close()
        raise BlockingIOError(errno.EAGAIN, "held by another process", name) from error
    except OSError as error:
        logger.warning("%s is not held against other processes: its file system has no locks (%s)", name, error)
    return holding


def _let_go(name: str) -> None:
    descriptor, times = _held.pop(name)
    if times > 1:
        _held[name] = (descriptor, times - 1)
    else:
        os.close(descriptor)


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    return _digest(path, hashlib.sha256())


def md5(path: str | os.PathLike[str]) -> str:
    """MD5 of a file's bytes, as many releases of data publish it."""
    return _digest(path, hashlib.md5(usedforsecurity=False))


def digest(path: str | os.PathLike[str]) -> str:
    """BLAKE2 of a file's bytes, 16 of its own: the fastest, for what is only compared.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     digest(file.name)
    'cae66941d9efbd404e4d88758ea67670'
    """
    return _digest(path, hashlib.blake2b(digest_size=16))


def _digest(path: str | os.PathLike[str], found: Any) -> str:
    with open(path, "rb") as file:
        return str(hashlib.file_digest(file, lambda: found).hexdigest())
