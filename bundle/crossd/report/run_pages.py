"""The page of a run that may be resumed and may have several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from crossd.inference import Answer, RunJournal
from crossd.processes import on_first, process_count, rank, wait_for_all
from crossd.report.page_file import PageFile, pieces

Row = Callable[[int, str, Answer], str]


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
