"""The page of a run on disk: whole after every case, resumed, and written by several processes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossd.inference import Answer, RunJournal
from crossd.processes import on_first, process_count, rank, wait_for_all
from crossd.report.page_html import COUNTS, slot

Row = Callable[[int, str, Answer], str]


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


class RunPages:
    """One page at the end, whatever happens until then.

    One process adds to `report.html` itself. Several write a page each, in `journal/`; the first makes one of them when
    all are done. A run that is resumed takes over the cases it keeps, and the last page has all in their order.

    Args:
        path: of the page.
        row: makes the HTML of a case from its number, key and answer, for one that is in no page.
        names: whether cases are called by their names; see `Piece.html`.
    """

    def __init__(self, path: Path, row: Row, names: bool) -> None:
        self.path = path
        self.row = row
        self.names = names
        self._page: PageFile | None = None
        self._journal: RunJournal | None = None
        self._around = (b"", b"", b"")
        self._order: list[str] = []

    def begin(
        self, head: bytes, tail: bytes, unfinished: bytes, order: Sequence[str], journal: RunJournal
    ) -> tuple[int, list[int]]:
        """Start a page with the cases that are kept, of all in this order; all processes do.

        Returns:
            How many cases have pictures already, and the numbers of those that are kept.
        """
        self._around = (head, tail, unfinished)
        self._order = list(order)
        self._journal = journal
        taken = on_first(lambda: self._take_over(journal))
        if process_count() > 1:
            self._page = PageFile(journal.folder / f"report_{rank()}.html", *self._around)
        return taken

    def _take_over(self, journal: RunJournal) -> tuple[int, list[int]]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = set(journal.kept)
        self._page, pictured = self._merged(journal, [name for name in self._order if name in kept])
        if process_count() > 1:
            self._page.close()
        return pictured, [number for number, name in enumerate(self._order, 1) if name in kept]

    @property
    def is_open(self) -> bool:
        """Whether there is a page to add to."""
        return self._page is not None

    def add(self, html: str, answer: Answer) -> None:
        """Add a case of this process."""
        assert self._page is not None  # is_open
        page, self._page = self._page, None
        text = html.encode(errors="replace")  # file names may hold bytes that are no text
        page.add(text, answer.status, bool(answer.warnings))
        self._page = page

    def end(self) -> bool:
        """End the page; all processes do.

        Returns:
            Whether this process has written it.
        """
        if self._page is not None:
            self._page.end()
        wait_for_all()
        whole = self._page is not None
        if rank() == 0 and self._journal is not None and (process_count() > 1 or self._journal.kept):
            page, _ = self._merged(self._journal, self._order)
            page.end()
            whole = True
        self._page = None
        return whole and rank() == 0

    def _merged(self, journal: RunJournal, names: Sequence[str]) -> tuple[PageFile, int]:
        """A page of these cases, and how many of them have pictures."""
        numbers = {name: number for number, name in enumerate(self._order, 1)}
        others = sorted(journal.folder.glob("report_*.html"))
        found = pieces([self.path, *others]) if names else {}
        part = self.path.with_name(f".{self.path.name}.part")
        page, pictured = PageFile(part, *self._around), 0
        for name, key, answer in journal.answers(names):
            piece, number = found.get(key), numbers[name]
            if piece is not None and (piece.status, piece.named) == (answer.status, self.names):
                page.add(piece.html(number, self.names), piece.status, piece.warned)
                pictured += piece.pictured
            else:
                html = self.row(number, key, answer)
                page.add(html.encode(errors="replace"), answer.status, bool(answer.warnings))
        os.replace(part, self.path)
        for other in others:
            other.unlink()
        return page, pictured
