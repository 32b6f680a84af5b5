"""The page of a run that may be resumed and may have several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from crossd.inference import Journal
from crossd.processes import on_first, process_count, rank, wait_for_all
from crossd.report.merging import pieces
from crossd.report.page_file import PageFile

Row = Callable[[int, str, dict[str, Any]], str]


class RunPages:
    """One page at the end, whatever happens until then.

    One process adds to `report.html` itself. Several write a page each, in `journal/`; the first makes one of them when
    all are done. A run that is resumed takes over the cases it keeps, and the last page has all in their order.

    Args:
        path: of the page.
        journal: of the run; None where there is only this process and nothing to resume.
        row: makes the HTML of a case from its number, key and entry, for one that is in no page.
        names: whether cases are called by their names; see `Piece.html`.
    """

    def __init__(self, path: Path, journal: Journal | None, row: Row, names: bool) -> None:
        self.path = path
        self.journal = journal
        self.row = row
        self.names = names
        self._page: PageFile | None = None
        self._around = (b"", b"", b"")
        self._order: list[str] = []

    def begin(self, head: bytes, tail: bytes, unfinished: bytes, order: Sequence[str]) -> tuple[int, list[int]]:
        """Start a page with the cases that are kept; all processes do.

        Args:
            head, tail, unfinished: as `PageFile` takes them.
            order: names of all cases.

        Returns:
            How many cases have pictures already, and the numbers of those that are kept.

        Raises:
            OSError: for a folder that cannot be written.
        """
        self._around = (head, tail, unfinished)
        self._order = list(order)
        taken = on_first(self._take_over)
        if self.journal is not None and process_count() > 1:
            self._page = PageFile(self.journal.folder / f"report_{rank()}.html", *self._around)
        return taken

    def _take_over(self) -> tuple[int, list[int]]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = set() if self.journal is None else set(self.journal.kept)
        self._page, pictured = self._merged([name for name in self._order if name in kept])
        if process_count() > 1:
            self._page.close()
        return pictured, [number for number, name in enumerate(self._order, 1) if name in kept]

    @property
    def is_open(self) -> bool:
        """Whether there is a page to add to."""
        return self._page is not None

    def add(self, html: str, status: str, warned: bool) -> None:
        """Add a case of this process.

        Raises:
            OSError: when the disk is full, say; the page is closed then.
        """
        assert self._page is not None  # is_open
        page, self._page = self._page, None
        page.add(html.encode(errors="replace"), status, warned)  # file names may hold bytes that are no text
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
        if rank() == 0 and self.journal is not None and (process_count() > 1 or self.journal.kept):
            page, _ = self._merged(self._order)
            page.end()
            whole = True
        self._page = None
        return whole and rank() == 0

    def _merged(self, names: Sequence[str]) -> tuple[PageFile, int]:
        """A page of these cases, and how many of them have pictures."""
        numbers = {name: number for number, name in enumerate(self._order, 1)}
        others = sorted(self.journal.folder.glob("report_*.html")) if self.journal is not None else []
        found = pieces([self.path, *others]) if names else {}
        part = self.path.with_name(f".{self.path.name}.part")
        page, pictured = PageFile(part, *self._around), 0
        for name, key, entry in self.journal.entries(names) if self.journal is not None else ():
            piece, number = found.get(key), numbers[name]
            if piece is not None and (piece.status, piece.named) == (entry["status"], self.names):
                page.add(piece.html(number, self.names), piece.status, piece.warned)
                pictured += piece.pictured
            else:
                html = self.row(number, key, entry)
                page.add(html.encode(errors="replace"), entry["status"], bool(entry["warnings"]))
        page.flush()
        os.replace(part, self.path)
        for other in others:
            other.unlink()
        return page, pictured
