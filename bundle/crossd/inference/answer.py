"""What became of a case and why the network said so, and the two tables of answers that people and programs read."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from crossd.data.delimited import line
from crossd.files import replaced
from crossd.inference.case_dataset import Case
from crossd.inference.window_map import WindowMap
from crossd.version import __version__

KINDS = ("evidence", "saliency", "mask", "structured_report")
"""The files of a case, each under its kind in `Answer.files`."""


@dataclass(frozen=True)
class Answer:
    """What became of a case.

    Attributes:
        case: what the case is called.
        source: path to show.
        status: "ok", "failed", or "skipped" for what is no scan.
        reason: why it has no answer, or not all of it.
        warnings: what was noted about it.
        files: paths below the output folder by kind, one of `KINDS`; None for a kind that the task writes and of which
            this case has no file.
        details: what the task says, JSON-able; see `Classification` and `crossd.segmentation.Segmentation`.

    >>> answer = Answer("a", "/a.nii", "ok", files={"mask": "masks/a.nii.gz"}, details={"voxels": {"box": 3}})
    >>> Answer.from_dict(answer.as_dict()) == answer
    True
    """

    case: str
    source: str
    status: str
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    files: Mapping[str, str | None] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def without(
        cls, case: Case, reason: str | None, files: Mapping[str, str | None], details: Mapping[str, Any]
    ) -> Answer:
        """Of a case that failed, or is no scan; `files` and `details` say what there would have been."""
        status = "skipped" if case.skipped else "failed"
        return cls(case.case, case.source, status, reason, case.warnings, files, details)

    @property
    def kinds(self) -> tuple[str, ...]:
        """As what it is counted: its status, and "outside" where the case is unlike those that the model knows."""
        return (self.status, *(["outside"] if self.details.get("scope") == "outside" else []))

    def noting(self, warning: str) -> Answer:
        """The same with one more warning."""
        return replace(self, warnings=(*self.warnings, warning))

    def as_dict(self) -> dict[str, Any]:
        """As the journal and the JSON table hold it: one level, files and details among the rest."""
        return {
            "case": self.case,
            "source": self.source,
            **self.details,
            "status": self.status,
            "reason": self.reason,
            "warnings": list(self.warnings),
            **self.files,
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Answer:
        """What `as_dict` returned, now or by an earlier version of this package."""
        own = ("case", "source", "status", "reason", "warnings")
        return cls(
            case=entry["case"],
            source=entry["source"],
            status=entry["status"],
            reason=entry["reason"],
            warnings=tuple(entry["warnings"]),
            files={kind: entry[kind] for kind in KINDS if kind in entry},
            details={name: value for name, value in entry.items() if name not in (*own, *KINDS)},
        )


@dataclass(frozen=True)
class Explanation:
    """Maps over a case for one class.

    Attributes:
        shown: the class; empty where there are no maps.
        maps: by kind, "evidence" or "saliency".
        method: of the evidence, one of `crossd.inference.classification.EVIDENCE`; empty where there is none.
        missing: why a map is not there that was asked for.
    """

    shown: str = ""
    maps: Mapping[str, WindowMap] = field(default_factory=dict)
    missing: str | None = None
    method: str = ""


_JSON_TAIL = b"\n]}\n"


class AnswerTables:
    """`<stem>.csv`, a row per case: case, source, the task's cells, status, reason (why it failed, and warnings); and
    `<stem>.json`: `{"crossd_version", "model": {...}, "cases": [...]}`, where each case is `Answer.as_dict`.

    They are whole after every case, and written anew in one step.
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
            How many there are of each of `Answer.kinds`.
        """
        self.close()
        counts: Counter[str] = Counter()
        with ExitStack() as both:
            self._files = [both.enter_context(replaced(path)) for path in self.paths]
            self._files[0].write(line(self.columns, "\r\n"))
            self._files[1].write(self._head)
            self._json_end, self._entries = len(self._head), 0
            for answer in answers:
                self._add(answer)
                counts.update(answer.kinds)
            self._files[1].write(_JSON_TAIL)
        self._files = [path.open("r+b") for path in self.paths] if stay_open else []
        return counts

    def append(self, answer: Answer) -> None:
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
        table.write(line([answer.case, answer.source, *self.cells(answer), answer.status, notes], "\r\n"))
        text = (b",\n" if self._entries else b"\n") + json.dumps(answer.as_dict()).encode()
        document.write(text)
        self._json_end += len(text)
        self._entries += 1

    def close(self) -> None:
        for file in self._files:
            file.close()
        self._files = []
