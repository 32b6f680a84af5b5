"""Measured rows on disk: one JSON file per section, rewritten after every row, so that a stop loses one row at most."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from crossd.benchmark.calls import Call, prepare
from crossd.benchmark.memory import peak_memory
from crossd.benchmark.rows import Row
from crossd.benchmark.timing import take_turns
from crossd.errors import CrossDError

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
        unfinished = path.with_suffix(".json.tmp")
        unfinished.write_text(json.dumps({"rows": self.sections[section]}, indent=1) + "\n", encoding="utf-8")
        os.replace(unfinished, path)


def measure(row: Row, rounds: int, threads: int) -> Result:
    """Memory of each contestant in a process of its own, then the times of those that ran, turn by turn, in this one.

    Returns:
        JSON-able: `seconds` (per turn) and `memory` (bytes) by contestant, and `not_run` with the reason by contestant.
    """
    result: Result = {
        "seconds": {},
        "memory": {},
        "not_run": {},
        "threads": threads,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "measured": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
    }
    if row.memory:
        for name in row.contestants:
            peak = peak_memory(prepare, row, name, threads=threads)
            if peak.reason is None:
                result["memory"][name] = {key: asdict(peak)[key] for key in ("built", "peak")}
            else:
                result["not_run"][name] = peak.reason
    if row.contestants[0] in result["not_run"]:
        return result
    calls: dict[str, Call] = {name: prepare(row, name) for name in row.contestants if name not in result["not_run"]}
    torch.set_num_threads(threads)
    times = take_turns(calls, rounds)
    result["seconds"] = {name: [round(value, 6) for value in seconds] for name, seconds in times.items()}
    return result


def measure_rows(
    rows: Iterable[Row],
    results: Results,
    rounds: int,
    threads: int,
    stop_after: float = float("inf"),
    show: Callable[[str], None] = print,
) -> int:
    """Measure the rows that have no result yet; begin none after `stop_after` seconds.

    Returns:
        How many rows still have no result.
    """
    start = time.monotonic()
    left = 0
    for row in rows:
        if row in results:
            continue
        if time.monotonic() - start >= stop_after:
            left += 1
            continue
        began = time.monotonic()
        results[row] = measure(row, rounds, threads)
        show(f"{row.name}: {time.monotonic() - began:.0f} s")
    return left
