"""A page of cases on disk that is whole after every case, and the cases in pages that were written before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from crossd.report.page_html import COUNTS, slot


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

    def end(self) -> None:
        """Say that the run is over, and close the file."""
        self._file.seek(self._position)
        self._file.write(self._tail)
        self._file.truncate()
        self._file.close()

    def close(self) -> None:
        """Close the file of a page that is not over."""
        self._file.close()


_FIRST = re.compile(
    rb'<tbody class="(?P<status>\w+)" data-key="(?P<key>\w*)" data-number="(?P<number>\d+)" data-status="\w+" '
    rb'data-warned="(?P<warned>\w+)"(?: data-named="(?P<named>\w+)")?'
)
_LAST = b"</tbody>\n"


@dataclass(frozen=True)
class Piece:
    """A case in a page.

    Attributes:
        path: of the page.
        offset: bytes before the case.
        length: of it.
        number: that it has there.
        status: "ok", "failed" or "skipped".
        warned: whether it is ok with warnings.
        pictured: whether it has pictures.
        named: whether it is called by its name there, which may be a patient's; None where the page does not say so.
    """

    path: Path
    offset: int
    length: int
    number: int
    status: str
    warned: bool
    pictured: bool
    named: bool | None

    def html(self, number: int, names: bool) -> bytes:
        """The case, with another number.

        Args:
            number: from 1.
            names: whether cases are called by their names; otherwise they are called by their numbers.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            html = file.read(self.length)
        if number == self.number:
            return html
        old, new = b"%d" % self.number, b"%d" % number
        forms = [b'data-number="%s"', b'aria-controls="case-%s"', b'id="case-%s"']  # none can stand in a text
        forms += [] if names else [b">case %s</button>", b' slices of case %s"']
        for form in forms:
            html = html.replace(form % old, form % new)
        return html


def pieces(pages: Iterable[Path]) -> dict[str, Piece]:
    """The whole cases of pages, by key; of several with one key the last."""
    return {key: piece for page in pages if page.is_file() for key, piece in _in(page)}


def _in(page: Path) -> Iterator[tuple[str, Piece]]:
    with page.open("rb") as file:
        end, offset, first, pictured = 0, 0, None, False
        for line in file:
            begins = _FIRST.match(line)
            if begins is not None:
                offset, first, pictured = end, begins, False
            end += len(line)
            pictured = pictured or b"<figure " in line
            if first is not None and line == _LAST:
                length, number = end - offset, int(first["number"])
                status, warned = first["status"].decode(), first["warned"] == b"yes"
                named = None if first["named"] is None else first["named"] == b"yes"
                yield first["key"].decode(), Piece(page, offset, length, number, status, warned, pictured, named)
                first = None
