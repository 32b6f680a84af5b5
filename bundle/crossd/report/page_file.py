"""A page of cases on disk that is whole after every case: one is added where the end was, and the end behind it."""

from __future__ import annotations

from pathlib import Path

from crossd.report.page import COUNTS, slot


class PageFile:
    """The page that is being written.

    Args:
        path: replaced.
        head: what stands before the cases, with a slot for each of `COUNTS`.
        tail: what stands after them.
        unfinished: what stands after them until `end`.

    Raises:
        OSError: here and in all methods, for a file that cannot be written.
    """

    def __init__(self, path: Path, head: bytes, tail: bytes, unfinished: bytes) -> None:
        self.counts = dict.fromkeys(COUNTS, 0)
        self._slots = {name: head.index(slot(name, 0).encode()) for name in COUNTS}
        self._position = len(head)
        self._tail, self._unfinished = tail, unfinished
        self._file = path.open("wb")
        self._file.write(head + unfinished)
        self._file.flush()

    def add(self, html: bytes, status: str, warned: bool) -> None:
        """Add a case."""
        self.counts[status] += 1
        self.counts["warned"] += status == "ok" and warned
        self._file.seek(self._position)
        self._file.write(html + self._unfinished)
        self._position += len(html)
        for name, at in self._slots.items():
            self._file.seek(at)
            self._file.write(slot(name, self.counts[name]).encode())
        self._file.flush()

    def flush(self) -> None:
        """Let what was added reach the file."""
        self._file.flush()

    def end(self) -> None:
        """Say that the run is over, and close the file."""
        self._file.seek(self._position)
        self._file.write(self._tail)
        self._file.truncate()
        self._file.close()

    def close(self) -> None:
        """Close the file of a page that is not over."""
        self._file.close()
