"""Measured rows on disk: one JSON file per section, rewritten after every row, so that a stop loses one row at most."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from crossd.errors import CrossDError
from crossd.files import write_whole

from scripts.benchmarks.speed.calls import prepare
from scripts.benchmarks.speed.memory import peak_memory
from scripts.benchmarks.speed.rows import Row
from scripts.benchmarks.speed.timing import take_turns

Result = dict[str, Any]


class Results:
    """The measured rows in a folder, by section and by the row's name.

    Args:
        folder: made where it is missing.

    Raises:
        CrossDError: a file of results is not JSON.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sections: dict[str, dict[str, Result]] = {}
        for path in sorted(self.folder.glob("*.json")):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise CrossDError(
                    f"Results must be JSON; {path} is not ({error}). Delete it to measure again."
                ) from error
            if isinstance(content, dict) and set(content) == {"rows"}:
                self.sections[path.stem] = content["rows"]

    def __contains__(self, row: Row) -> bool:
        return row.name in self.sections.get(row.section, {})

    def __getitem__(self, row: Row) -> Result:
        return self.sections[row.section][row.name]

    def __setitem__(self, row: Row, result: Result) -> None:
        self.sections.setdefault(row.section, {})[row.name] = result
        self._write(row.section)

    def forget(self, pattern: str) -> list[str]:
        """Drop the rows whose names match a regular expression; their names."""
        dropped = []
        for section, results in self.sections.items():
            names = [name for name in results if re.search(pattern, name)]
            for name in names:
                del results[name]
            if names:
                self._write(section)
            dropped += names
        return dropped

    def _write(self, section: str) -> None:
        path = self.folder / f"{section}.json"
        write_whole(path, json.dumps({"rows": self.sections[section]}, indent=1) + "\n")


def measure_memory(row: Row, threads: int) -> Result:
    """Peak memory of each contestant in a process of its own.

    Returns:
        JSON-able: `memory` (bytes) by contestant, `not_run` with the reason by contestant, and `expected`, the
        seconds of a call in that process, which only say which contestants are slow.
    """
    result: Result = {"memory": {}, "not_run": {}, "expected": {}}
    for name in row.contestants if row.memory else ():
        peak = peak_memory(prepare, row, name, threads=threads)
        if peak.reason is None:
            result["memory"][name] = {"built": peak.built, "peak": peak.peak}
            result["expected"][name] = round(peak.seconds, 3)
        else:
            result["not_run"][name] = peak.reason
    return result


def measure_time(row: Row, rounds: int, threads: int, memory: Result) -> Result:
    """Times of the contestants that ran when memory was measured, turn by turn, in this process.

    Returns:
        JSON-able: `seconds` per turn by contestant, and how, where and when they were measured.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        names = [name for name in row.contestants if name not in memory["not_run"]]
        times = take_turns({name: prepare(row, name) for name in names}, rounds, memory["expected"])
    finally:
        torch.set_num_threads(before)
    return {
        "seconds": {name: [round(value, 6) for value in seconds] for name, seconds in times.items()},
        "threads": threads,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "measured": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
    }


def measure_rows(
    rows: Iterable[Row],
    results: Results,
    rounds: int,
    threads: int,
    stop_after: float = float("inf"),
    show: Callable[[str], None] = print,
) -> int:
    """Measure what the rows have no result of yet; begin none after `stop_after` seconds.

    Args:
        rows: measured in this order.
        results: where they are kept, at once.
        rounds: turns; 0 measures the memory only.
        threads: of torch.
        stop_after: seconds from now.
        show: called with a line per row.

    Returns:
        How many rows still have no times.
    """
    start = time.monotonic()
    left = 0
    for row in rows:
        if row in results and (rounds == 0 or "seconds" in results[row]):
            left += "seconds" not in results[row]
            continue
        if time.monotonic() - start >= stop_after:
            left += 1
            continue
        began = time.monotonic()
        if row not in results:
            results[row] = measure_memory(row, threads)
        if rounds > 0 and row.contestants[0] not in results[row]["not_run"]:
            results[row] = {**results[row], **measure_time(row, rounds, threads, results[row])}
        left += "seconds" not in results[row]
        show(f"{row.name}: {time.monotonic() - began:.0f} s")
    return left
