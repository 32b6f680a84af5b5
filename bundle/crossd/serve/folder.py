"""A folder that series arrive in: which have come to rest, by looking again and again."""

from __future__ import annotations

import logging
import math
import os
import sqlite3
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from crossd.data.folders import natural
from crossd.serve.ledger import File, Ledger
from crossd.serve.series_versions import SeriesKey, Signature, Version, content_digest, series_of, signature

FIRST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0  # seconds until a failed series is tried again without having changed

logger = logging.getLogger(__name__)


@dataclass
class _Group:
    """The files of one series."""

    changed: float
    paths: set[str] = field(default_factory=set)
    pause: float = FIRST_PAUSE
    due_again: float = 0.0  # when to look at it however long it has not changed


class Folder:
    """The series below a folder, grouped by what the headers of the files say.

    A damaged file that does not say its series is counted to that of its folder, where there is only one.

    Args:
        root: the folder; hidden files and folders in it are passed over, links to folders followed once.
        quiet: seconds for which no file of a series may come, change or go before it counts as complete.
        ledger: remembers headers and contents from one start to the next.
        clock: seconds that only grow.
    """

    def __init__(self, root: Path, quiet: float, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self.quiet = quiet
        self.ledger = ledger
        self.clock = clock
        self.problem = ""
        self._files: dict[str, File] = {}
        self._groups: dict[SeriesKey, _Group] = {}
        self._beside: dict[str, Counter[SeriesKey]] = {}  # of each folder, how many files of which series
        self._remembered = {file.path: file for file in ledger.files()}

    def scan(self) -> None:
        """Look once: what is new, changed or gone restarts the quiet time of its series."""
        try:
            there = dict(regular_files(self.root))
        except OSError as error:  # unmounted for a while, say: what is known stays known
            self._complain(f"the watched folder cannot be read ({error.strerror})")
            return
        self._complain("")
        gone = [path for path in self._files if path not in there]
        for path in gone:
            self._drop(path)
        looked = []
        for path, signed in there.items():
            known = self._files.get(path)
            if known is None or known.signature != signed:
                before = self._remembered.get(path)
                if before is not None and before.signature == signed and not before.problem:
                    self._add(before)
                else:  # being written, perhaps: its header is read when it is the same the next time
                    key = self._drop(path) or self._only_series_beside(path)
                    self._files[path] = File(path, signed, looked=False)
                    self._touch(key)
            elif not known.looked:
                known.key, known.problem = series_of(path)
                known.looked = True
                self._add(known)
                looked.append(path)
        gone += [path for path in self._remembered if path not in there]
        self._remembered.clear()
        self._save(looked, gone)

    def due(self) -> list[SeriesKey]:
        """Series that are complete, or to be tried again; the one that waits longest first."""
        now = self.clock()
        due = [
            (group.changed, key)
            for key, group in self._groups.items()
            if now >= max(group.changed + self.quiet, group.due_again)
        ]
        return [key for _, key in sorted(due)]

    def settled(self) -> bool:
        """Whether all that is there has been tried, so that only something new will be due soon."""
        return all(file.looked for file in self._files.values()) and all(
            group.due_again > 0 for group in self._groups.values()
        )

    def version(self, key: SeriesKey) -> Version:
        """The content of a series, read now as far as it was not read before."""
        strays = (path for path in self.strays() if self._only_series_beside(path) == key)
        paths = sorted({*self._groups[key].paths, *strays}, key=natural)
        read = []
        for path in paths:
            file = self._files[path]
            if not file.digest:
                file.digest = content_digest(path)
                read.append(path)
        self._save(read, [])
        signed = tuple((path, self._files[path].signature) for path in paths)
        return Version(key, signed, frozenset(self._files[path].digest for path in paths))

    def done(self, key: SeriesKey) -> None:
        """Nothing more to do for a series until it changes."""
        self._groups[key].due_again = math.inf

    def again_later(self, key: SeriesKey) -> None:
        """Try a series again when it changes, and after a pause that grows each time."""
        group = self._groups[key]
        group.due_again = self.clock() + group.pause
        group.pause = min(2 * group.pause, LONGEST_PAUSE)

    def again(self) -> None:
        """Look at all series again after the quiet time, as if they had changed."""
        for key in self._groups:
            self._touch(key)

    def strays(self) -> dict[str, str]:
        """Files that look like DICOM and do not say their series, with the reason."""
        return {path: file.problem for path, file in self._files.items() if file.problem}

    def _add(self, file: File) -> None:
        path = file.path
        self._files[path] = file
        if file.key is None:
            if file.problem:
                logger.warning("a file that looks like DICOM does not say its series; --status names it")
                self._touch(self._only_series_beside(path))
            return
        self._groups.setdefault(file.key, _Group(self.clock())).paths.add(path)
        self._beside.setdefault(os.path.dirname(path), Counter())[file.key] += 1
        self._touch(file.key)

    def _drop(self, path: str) -> SeriesKey | None:
        """Forget a file; returns its series, where that still has others."""
        file = self._files.pop(path, None)
        if file is None or file.key is None:
            if file is not None and file.problem:
                self._touch(self._only_series_beside(path))
            return None
        beside = self._beside[os.path.dirname(path)]
        beside[file.key] -= 1
        if not beside[file.key]:
            del beside[file.key]
        self._touch(file.key)
        self._groups[file.key].paths.discard(path)
        if self._groups[file.key].paths:
            return file.key
        del self._groups[file.key]
        return None

    def _touch(self, key: SeriesKey | None) -> None:
        if key is not None:
            group = self._groups[key]
            group.changed, group.pause, group.due_again = self.clock(), FIRST_PAUSE, 0.0

    def _only_series_beside(self, path: str) -> SeriesKey | None:
        """The series of a folder that holds one only."""
        beside = self._beside.get(os.path.dirname(path), Counter())
        return next(iter(beside)) if len(beside) == 1 else None

    def _save(self, paths: Iterable[str], gone: Iterable[str]) -> None:
        """Spare the next start some reading; where that fails, it reads."""
        try:
            if files := [self._files[path] for path in paths]:
                self.ledger.remember(files)
            if gone := list(gone):
                self.ledger.forget(gone)
        except sqlite3.Error as error:
            logger.error("the journal cannot be written for now (%s)", error)

    def _complain(self, problem: str) -> None:
        if problem and problem != self.problem:
            logger.error("%s: trying again", problem)
        self.problem = problem


def regular_files(root: Path) -> Iterator[tuple[str, Signature]]:
    """Every regular file below a folder, hidden ones left out, links followed, no folder twice.

    Raises:
        OSError: when the folder itself cannot be read; one below it that cannot is passed over until it can.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / ".part").touch(), (folder / "a").mkdir(), (folder / "a" / "1.dcm").touch()
    (None, None, None)
    >>> [os.path.basename(path) for path, _ in regular_files(folder)]
    ['1.dcm']
    """
    seen: set[tuple[int, int]] = set()
    folders = [str(root)]
    while folders:
        folder = folders.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name == "__MACOSX":
                        continue
                    try:
                        found = entry.stat()
                    except OSError:  # gone meanwhile, or a link to nowhere
                        continue
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(entry.path)
                    elif stat.S_ISREG(found.st_mode):
                        yield entry.path, signature(found)
        except OSError:
            if folder == str(root):
                raise
