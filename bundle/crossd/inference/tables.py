"""`predictions.csv` and `predictions.json`: whole after every case, and written anew in one step."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from crossd.version import __version__

JSON_TAIL = b"\n]}\n"


class PredictionTables:
    """The two files of answers that people and programs read; see `PredictionWriter` for what stands in them.

    Args:
        folder: where they lie.
        classes: of the model.
        model: what `predictions.json` says of it.
    """

    def __init__(self, folder: Path, classes: Sequence[str], model: Mapping[str, Any]) -> None:
        self.folder = folder
        self.classes = list(classes)
        head = json.dumps({"crossd_version": __version__, "model": model}, indent=1)
        self._head = (head.removesuffix("\n}") + ',\n "cases": [').encode()
        self._files: tuple[IO[bytes], IO[bytes]] | None = None
        self._json_end = self._entries = 0

    def write(self, entries: Iterable[Mapping[str, Any]], stay_open: bool = True) -> Counter[str]:
        """Replace both files by ones with these entries, and stay ready to `append`.

        Returns:
            How many there are of each status.
        """
        self.close()
        names = ("predictions.csv", "predictions.json")
        parts = [self.folder / f".{name}.part" for name in names]
        counts: Counter[str] = Counter()
        table, document = (part.open("wb") for part in parts)
        self._files = (table, document)
        columns = [f"probability_{name}" for name in self.classes]
        table.write(_row(["case", "source", *columns, "predicted_class", "status", "reason"]))
        document.write(self._head)
        self._json_end, self._entries = len(self._head), 0
        for entry in entries:
            self._add(entry)
            counts[entry["status"]] += 1
        document.write(JSON_TAIL)
        for file, part, name in zip(self._files, parts, names, strict=True):
            file.flush()
            os.fsync(file.fileno())
            os.replace(part, self.folder / name)
        if not stay_open:
            self.close()
        return counts

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add an entry to both."""
        assert self._files is not None  # write() came before
        self._files[1].seek(self._json_end)  # where the closing brackets are
        self._add(entry)
        self._files[1].write(JSON_TAIL)
        for file in self._files:
            file.flush()

    def _add(self, entry: Mapping[str, Any]) -> None:
        assert self._files is not None
        table, document = self._files
        table.write(self._csv_row(entry))
        text = (b",\n" if self._entries else b"\n") + json.dumps(entry).encode()
        document.write(text)
        self._json_end += len(text)
        self._entries += 1

    def close(self) -> None:
        """Close both."""
        for file in self._files or ():
            file.close()
        self._files = None

    def _csv_row(self, entry: Mapping[str, Any]) -> bytes:
        probabilities = entry["probabilities"] or {}
        notes = [entry["reason"], *entry["warnings"]]
        return _row(
            [
                entry["case"],
                entry["source"],
                *(f"{probabilities[name]:.6f}" if probabilities else "" for name in self.classes),
                entry["predicted_class"] or "",
                entry["status"],
                "; ".join(note for note in notes if note),
            ]
        )


def _row(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode(errors="backslashreplace")  # file names are bytes
