"""The two files of answers that people and programs read: whole after every case, and written anew in one step."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from crossd.files import replaced
from crossd.inference.answer import Answer
from crossd.version import __version__

_JSON_TAIL = b"\n]}\n"


class AnswerTables:
    """`<stem>.csv`, a row per case: case, source, the task's cells, status, reason (why it failed, and warnings); and
    `<stem>.json`: `{"crossd_version", "model": {...}, "cases": [...]}`, where each case is `Answer.as_dict`.

    Args:
        folder: where they lie.
        stem: of their names.
        columns: of the task.
        cells: of the task, from the details and files of an answer.
        model: what the JSON says of it.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        columns: Sequence[str],
        cells: Callable[[Answer], Sequence[str]],
        model: Mapping[str, Any],
    ) -> None:
        self.paths = [folder / f"{stem}.{kind}" for kind in ("csv", "json")]
        self.columns = ["case", "source", *columns, "status", "reason"]
        self.cells = cells
        head = json.dumps({"crossd_version": __version__, "model": model}, indent=1)
        self._head = (head.removesuffix("\n}") + ',\n "cases": [').encode()
        self._files: list[IO[bytes]] = []
        self._json_end = self._entries = 0

    def write(self, answers: Iterable[Answer], stay_open: bool = True) -> Counter[str]:
        """Replace both files by ones with these answers, and stay ready to `append`.

        Returns:
            How many there are of each status.
        """
        self.close()
        counts: Counter[str] = Counter()
        with ExitStack() as both:
            self._files = [both.enter_context(replaced(path)) for path in self.paths]
            self._files[0].write(_row(self.columns))
            self._files[1].write(self._head)
            self._json_end, self._entries = len(self._head), 0
            for answer in answers:
                self._add(answer)
                counts[answer.status] += 1
            self._files[1].write(_JSON_TAIL)
        self._files = [path.open("r+b") for path in self.paths] if stay_open else []
        return counts

    def append(self, answer: Answer) -> None:
        """Add an answer to both."""
        table, document = self._files  # write() came before
        table.seek(0, io.SEEK_END)
        document.seek(self._json_end)  # where the closing brackets are
        self._add(answer)
        document.write(_JSON_TAIL)
        for file in self._files:
            file.flush()

    def _add(self, answer: Answer) -> None:
        table, document = self._files
        notes = "; ".join(note for note in (answer.reason, *answer.warnings) if note)
        table.write(_row([answer.case, answer.source, *self.cells(answer), answer.status, notes]))
        text = (b",\n" if self._entries else b"\n") + json.dumps(answer.as_dict()).encode()
        document.write(text)
        self._json_end += len(text)
        self._entries += 1

    def close(self) -> None:
        """Close both."""
        for file in self._files:
            file.close()
        self._files = []


def _row(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode(errors="backslashreplace")  # file names are bytes
