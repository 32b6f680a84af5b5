"""What has been seen, answered and delivered: an SQLite file that survives the end of the process at any moment."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossd.errors import CrossDError
from crossd.serve.series_versions import SeriesKey, Signature, Version

FORMAT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INT, mtime INT, ctime INT, uid TEXT, series TEXT,
    digest TEXT, problem TEXT);
CREATE TABLE IF NOT EXISTS versions (id TEXT PRIMARY KEY, series TEXT, uid TEXT, number INT, digests TEXT,
    state TEXT, reason TEXT, time REAL);
CREATE TABLE IF NOT EXISTS reports (uid TEXT PRIMARY KEY, series_uid TEXT, study_uid TEXT, version TEXT, volume TEXT,
    answer TEXT, state TEXT, attempts INT, reason TEXT, time REAL);
CREATE INDEX IF NOT EXISTS files_of ON files (series);
CREATE INDEX IF NOT EXISTS versions_of ON versions (series);
CREATE INDEX IF NOT EXISTS reports_of ON reports (state);
"""


@dataclass
class File:
    """A file of the watched folder.

    Attributes:
        signature: as it was when it was looked into.
        key: its series; None for what is not DICOM, or does not say it.
        digest: of its content; empty while nobody needed it.
        problem: why a file that looks like DICOM does not say its series.
    """

    path: str
    signature: Signature
    key: SeriesKey | None = None
    digest: str = ""
    problem: str = ""
    looked: bool = True


@dataclass(frozen=True)
class Report:
    """One Structured Report about one volume of a series.

    Attributes:
        uid: its SOPInstanceUID, which is its file's name too.
        series_uid: the SeriesInstanceUID it has itself.
        study_uid: StudyInstanceUID, that of the images.
        volume: which part of the series it is about, where that holds several; empty otherwise.
        answer: `{"predicted": [names], "probabilities": {name: number}}`.
    """

    uid: str
    series_uid: str
    study_uid: str
    volume: str
    answer: Mapping[str, Any]


class Ledger:
    """The memory of a watcher; every method is one transaction, and any thread may call it.

    Its file is called `journal.sqlite`, and messages call it so; a run over cases has a journal of another kind.

    Args:
        path: of the SQLite file, made when it is not there; on a local disk, as SQLite's locks need it.

    Raises:
        CrossDError: a file that is no ledger of this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA synchronous = FULL")
            found = self._db.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, FORMAT):
                raise sqlite3.DatabaseError(f"its format is {found}, not {FORMAT}")
            if found != FORMAT:
                self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")
        except sqlite3.Error as error:
            raise CrossDError(
                f"A watcher's state must be a journal that can be written: '{path}' is not ({error}). Pass another "
                "folder by --state; series are then classified again, into reports of the same UIDs."
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.rollback()
                raise
            self._db.commit()

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def files(self) -> Iterator[File]:
        """Every file seen so far."""
        for path, size, mtime, ctime, uid, series, digest, problem in self._rows("SELECT * FROM files"):
            key = SeriesKey(uid, series) if series else None
            yield File(os.fsdecode(path), (size, mtime, ctime), key, digest, problem)

    def remember(self, files: Iterable[File]) -> None:
        """Keep what was found in files, so that the next start need not read them."""
        rows = [
            (os.fsencode(file.path), *file.signature, *(file.key or (None, None)), file.digest, file.problem)
            for file in files  # names are bytes
        ]
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def forget(self, paths: Iterable[str]) -> None:
        """Drop files that are gone."""
        with self._transaction() as db:
            db.executemany("DELETE FROM files WHERE path = ?", [(os.fsencode(path),) for path in paths])

    def known(self, key: SeriesKey) -> tuple[frozenset[str], int]:
        """The contents that answered versions of a series had, all together, and the number of the latest."""
        query = "SELECT digests, number FROM versions WHERE series = ? AND state = 'classified'"
        rows = self._rows(query, key.digest)
        digests = (digest for row in rows for digest in json.loads(row[0]))
        return frozenset(digests), max((row[1] for row in rows), default=0)

    def reports_of(self, key: SeriesKey, number: int) -> list[Report]:
        """The reports about one version of a series."""
        rows = self._rows(
            "SELECT r.uid, r.series_uid, r.study_uid, r.volume, r.answer FROM reports r JOIN versions v "
            "ON v.id = r.version WHERE v.series = ? AND v.number = ? AND v.state = 'classified' ORDER BY r.uid",
            key.digest,
            number,
        )
        return [Report(uid, own, study, volume, json.loads(said)) for uid, own, study, volume, said in rows]

    def answered(self, version: Version, number: int, reports: Iterable[Report]) -> None:
        """A version is classified, and its reports wait to be sent: both, or neither."""
        now, identifier = time.time(), version.identifier
        with self._transaction() as db:
            self._put(db, version, number, "classified", "", now)
            db.executemany(
                "INSERT OR IGNORE INTO reports VALUES (?, ?, ?, ?, ?, ?, 'waiting', 0, '', ?)",  # sent ones stay sent
                [
                    (item.uid, item.series_uid, item.study_uid, identifier, item.volume, json.dumps(item.answer), now)
                    for item in reports
                ],
            )

    def not_answered(self, version: Version, state: str, reason: str) -> bool:
        """A version has no answer: it "failed" or is "skipped", and why. Returns whether that was not known before."""
        query = "SELECT state, reason FROM versions WHERE id = ?"
        with self._transaction() as db:
            before = db.execute(query, (version.identifier,)).fetchone()
            db.execute("DELETE FROM versions WHERE series = ? AND state != 'classified'", (version.key.digest,))
            self._put(db, version, 0, state, reason, time.time())
        return before != (state, reason)

    def nothing_new(self, key: SeriesKey) -> None:
        """A series holds again only what is answered: that it failed, or was skipped, meanwhile is history."""
        which = "versions WHERE series = ? AND state != 'classified'"
        if self._rows(f"SELECT id FROM {which}", key.digest):  # nothing is written where there is nothing to forget
            with self._transaction() as db:
                db.execute(f"DELETE FROM {which}", (key.digest,))

    def _put(self, db: sqlite3.Connection, version: Version, number: int, state: str, reason: str, now: float) -> None:
        digests = json.dumps(sorted(version.digests))
        values = (version.identifier, version.key.digest, version.key.uid, number, digests, state, reason, now)
        if state == "classified":  # what failed before is history
            db.execute("DELETE FROM versions WHERE series = ? AND state != 'classified'", (version.key.digest,))
        db.execute("INSERT OR REPLACE INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def waiting(self) -> list[str]:
        """UIDs of the reports that nobody has accepted yet, the oldest first."""
        return [row[0] for row in self._rows("SELECT uid FROM reports WHERE state = 'waiting' ORDER BY time, uid")]

    def state_of(self, uid: str) -> str | None:
        """Whether a report is "waiting" or "sent"; None where it is not known."""
        rows = self._rows("SELECT state FROM reports WHERE uid = ?", uid)
        return str(rows[0][0]) if rows else None

    def sent(self, uid: str, note: str = "") -> None:
        """The node has accepted a report."""
        with self._transaction() as db:
            query = "UPDATE reports SET state = 'sent', attempts = attempts + 1, reason = ?, time = ? WHERE uid = ?"
            db.execute(query, (note, time.time(), uid))

    def not_sent(self, uids: Iterable[str], reason: str) -> None:
        """One more attempt in vain."""
        with self._transaction() as db:
            query = "UPDATE reports SET attempts = attempts + 1, reason = ? WHERE uid = ? AND state = 'waiting'"
            db.executemany(query, [(reason, uid) for uid in uids])

    def revoke(self, uid: str) -> None:
        """A report that was not sent is lost: its version is to be classified again."""
        with self._transaction() as db:
            db.execute("DELETE FROM versions WHERE id = (SELECT version FROM reports WHERE uid = ?)", (uid,))
            db.execute("DELETE FROM reports WHERE uid = ? AND state = 'waiting'", (uid,))

    def versions(self) -> list[dict[str, Any]]:
        """For people: each version with its series, state and reason, the oldest first."""
        columns = ("id", "uid", "number", "state", "reason", "time")
        rows = self._rows(f"SELECT {', '.join(columns)} FROM versions ORDER BY time, uid")
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def reports(self, version: str) -> list[dict[str, Any]]:
        """For people: the reports about a version, with what was answered and whether they were accepted."""
        columns = ("uid", "volume", "answer", "state", "attempts", "reason", "time")
        rows = self._rows(f"SELECT {', '.join(columns)} FROM reports WHERE version = ? ORDER BY uid", version)
        return [dict(zip(columns, row, strict=True)) | {"answer": json.loads(row[2])} for row in rows]

    def unfinished(self) -> int:
        """How many series that are there failed, files do not say their series, and reports have no receiver."""
        query = (
            "SELECT (SELECT COUNT(*) FROM versions v WHERE state = 'failed' AND EXISTS (SELECT 1 FROM files f WHERE "
            "f.series = v.series)) + (SELECT COUNT(*) FROM reports WHERE state = 'waiting') + (SELECT COUNT(*) FROM "
            "files WHERE problem != '')"
        )
        return int(self._rows(query)[0][0])

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()
