"""What a run over cases goes on from: its settings, and its answers, one line each the moment it is there."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from crossd.errors import CrossDError
from crossd.files import digest, lock, write_whole
from crossd.inference.answer import KINDS, Answer
from crossd.inference.case_dataset import Case, case_key
from crossd.options import changes, refuse_changes
from crossd.processes import on_first, rank, was_restarted
from crossd.version import __version__

logger = logging.getLogger(__name__)


class RunRecord:
    """`run.json` of a `RunJournal`: its settings, how often it was started, and whether it came to its end."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], weights: str | Path | None = None) -> None:
        self.folder = folder
        self._given = dict(settings)
        self._weights = weights
        self._lock = ExitStack()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Those given, the digest of the weights and the version of this package, as they are stored."""
        weights = {} if self._weights is None else {"weights": digest(str(self._weights))}
        stored = {**self._given, **weights, "crossd_version": __version__}
        return dict(json.loads(json.dumps(stored, default=str)))

    def read(self) -> dict[str, Any] | None:
        """What an earlier run has stored: `{"settings", "starts", "finished"}`; None where there was none."""
        try:
            said = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
            return {
                "settings": dict(said["settings"]),
                "starts": int(said["starts"]),
                "finished": bool(said["finished"]),
            }
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, starts: int, finished: bool) -> None:
        """Store, whole or not at all."""
        content = {"settings": self.settings, "starts": starts, "finished": finished}
        write_whole(self.folder / "run.json", json.dumps(content, indent=1))

    def unlock(self) -> None:
        """Let others write into the folder."""
        self._lock.close()

    def lock(self) -> None:
        """Let no other process write into the folder, until `unlock` or the end of this one; refused where one does."""
        self.unlock()
        try:
            self._lock = lock(self.folder / "lock")
        except BlockingIOError as error:
            raise CrossDError(
                f"One run at a time writes into an output_dir, got {self.folder.parent}, into which another one writes "
                "now: wait for it, or choose another --output_dir"
            ) from error


@dataclass(frozen=True)
class Place:
    """Where an answer stands: in the line behind `offset` bytes of the file `part`, of a start counted from 1."""

    part: Path
    offset: int
    start: int
    key: str
    status: str
    files: tuple[str, ...]


class RunJournal:
    """`output_dir/journal`: a file of JSON lines for each process, and `run.json`, the settings that hold for all.

    A line is `{"name", "key", "start", "entry"}` and is on the disk before the next case is begun. A process that is
    killed while it writes one leaves it without its end; such a line does not count and is cut off before the next is
    written. A case that was tried again has several lines; the last counts.

    An answer is kept for a case when its name, its source and its files (path, size, time of change) are what they
    were and what was written of it is there. Nothing is written before `start`.

    Args:
        output_dir: of the run.
        settings: JSON-able, what decides the answers; a run is only resumed under equal ones.
        weights: the checkpoint, whose bytes are among them.
        resume: keep the answers of an earlier run, finished or not. Without it they are dropped, unless torch elastic
            has started this process again: then it is the same run.
        retry_failed: do not keep those of cases that failed.
    """

    def __init__(
        self,
        output_dir: str | Path,
        settings: Mapping[str, Any] | None = None,
        weights: str | Path | None = None,
        resume: bool = False,
        retry_failed: bool = False,
    ) -> None:
        self.folder = Path(output_dir).absolute() / "journal"
        self.record = RunRecord(self.folder, settings or {}, weights)
        self.resume = resume
        self.retry_failed = retry_failed
        self.kept: list[str] = []
        self.starts = 0
        self._resumes: bool | None = None
        self._part: IO[bytes] | None = None

    def pending(self, cases: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[int]:
        """Numbers of the cases that there is no answer for yet, in order; all processes ask, the first looks.

        The names of the others are `kept` afterwards, in the first process.

        Raises:
            CrossDError: when the run in `output_dir` has other settings.
        """
        return on_first(lambda: self._pending(cases, names))

    def _pending(self, cases: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[int]:
        found = self.lines() if self._continues() else {}
        without: list[int] = []
        self.kept = []
        for number, (case, name) in enumerate(zip(cases, names, strict=True)):
            line = found.get(name)
            if line is not None and self._holds(line) and line.key == case_key(case):
                self.kept.append(name)
            else:
                without.append(number)
        if found:
            logger.info(f"{len(self.kept)} of {len(cases)} cases have their answers in {self.folder.parent}")
        return without

    def _holds(self, line: Place) -> bool:
        if line.status == "failed" and self.retry_failed:
            return False
        return all((self.folder.parent / file).is_file() for file in line.files)

    def _continues(self) -> bool:
        """Whether answers that are there are kept; decided once, before anything is written."""
        if self._resumes is None:
            said = self.record.read()
            if said is not None and self.resume:
                refuse_changes(said["settings"], self.record.settings, self.folder.parent)
            changed = [] if said is None else changes(said["settings"], self.record.settings)
            self._resumes = said is not None and not changed and (self.resume or was_restarted())
            if said is not None and not self._resumes and not said["finished"] and (lost := len(self.lines())):
                logger.warning(
                    f"a run in {self.folder.parent} did not come to its end: its {lost} answers are replaced now; "
                    "--resume true would have kept them"
                )
        return self._resumes

    def start(self) -> None:
        """Make the folder ready and open this process's file; all processes do.

        Raises:
            OSError: a folder that cannot be written.
            CrossDError: other settings, as `pending`, or another run that writes there.
        """
        self.starts = on_first(self._prepare)
        path = self.folder / f"process_{rank()}.jsonl"
        whole = max((end for _, end, _ in _whole_lines(path)), default=0)
        self._part = path.open("ab", buffering=0)
        self._part.truncate(whole)

    def _prepare(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.record.lock()
        said = self.record.read() if self._continues() else None
        if said is None:
            (self.folder / "run.json").unlink(missing_ok=True)
            for path in [*self.folder.glob("process_*.jsonl"), *self.folder.glob("report_*.html")]:
                path.unlink()
        starts = 1 if said is None else said["starts"] + 1
        self.record.write(starts, finished=False)
        return starts

    def append(self, case: Case, answer: Answer) -> None:
        """Add the answer of a case; it is on the disk when this returns."""
        assert self._part is not None  # start() has run
        line = {"name": case.name, "key": case.key, "start": self.starts, "entry": answer.as_dict()}
        text = json.dumps(line).encode() + b"\n"
        while text:
            text = text[self._part.write(text) :]
        os.fsync(self._part.fileno())

    def close(self) -> None:
        """Close this process's file."""
        if self._part is not None:
            self._part.close()
        self._part = None

    def finish(self) -> None:
        """Note that the run came to its end."""
        self.record.write(self.starts, finished=True)
        self.record.unlock()

    def lines(self) -> dict[str, Place]:
        """Where the answer of each case stands, by the case's name."""
        found: dict[str, Place] = {}
        for part in sorted(self.folder.glob("process_*.jsonl")):
            for offset, _, line in _whole_lines(part):
                entry = line["entry"]
                files = tuple(entry[kind] for kind in KINDS if entry.get(kind))
                known = found.get(line["name"])
                if known is None or known.start <= line["start"]:
                    found[line["name"]] = Place(part, offset, line["start"], line["key"], entry["status"], files)
        return found

    def answers(self, names: Iterable[str]) -> Iterator[tuple[str, str, Answer]]:
        """Name, key and answer of cases in this order, read one by one; cases without an answer are left out."""
        found = self.lines()
        for name in names:
            if name in found:
                with found[name].part.open("rb") as file:
                    file.seek(found[name].offset)
                    yield name, found[name].key, Answer.from_dict(json.loads(file.readline())["entry"])


def _whole_lines(part: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Lines that came to their end: the bytes before it, those up to its end, and what it says."""
    if not part.is_file():
        return
    with part.open("rb") as file:
        end = 0
        for text in file:
            offset, end = end, end + len(text)
            try:
                line = json.loads(text) if text.endswith(b"\n") else {}
                _ = line["name"], line["key"], line["start"], Answer.from_dict(line["entry"])
            except (ValueError, KeyError, TypeError):  # cut off, or of a disk that lost its power
                continue
            yield offset, end, line
