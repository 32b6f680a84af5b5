"""A file of results: gzip-compressed JSON lines, rewritten whole or not at all, which several processes may share."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crossd.errors import CrossDError
from crossd.files import write_whole

SUFFIX = ".jsonl.gz"


def results_file(path: str | os.PathLike[str]) -> Path:
    """The path, when it can be one of a file of results.

    Raises:
        CrossDError: for a name without the suffix, and where a folder of the older form, a JSON file a run, is there.

    >>> results_file("docs/results/cpu.json")
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: A file of results ends in .jsonl.gz, got docs/results/cpu.json. Name it so.
    """
    path = Path(path)
    folder = path.with_name(path.name.removesuffix(SUFFIX))
    if not path.is_file() and folder.is_dir() and any(folder.rglob("*.json")):
        raise CrossDError(
            f"Results are one file, {folder}{SUFFIX}; {folder} is a folder of the older form, a JSON file a run. "
            f"Convert it: python -m scripts.benchmarks.runs.convert {folder}"
        )
    if not path.name.endswith(SUFFIX):
        raise CrossDError(f"A file of results ends in {SUFFIX}, got {path}. Name it so.")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines; none where there is no file.

    Raises:
        CrossDError: when it is damaged.
    """
    if not path.is_file():
        return []
    try:
        lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
        if not all(isinstance(line, dict) for line in lines):
            raise ValueError("a line is no object")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise CrossDError(
            f"A file of results is gzip-compressed JSON lines; {path} is not ({error}). Take it from the repository "
            "again, or delete it to begin anew."
        ) from error
    return lines


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write the file in one step; equal lines give equal bytes. Hold `changing` from reading until here."""
    text = "".join(f"{json.dumps(line, separators=(',', ':'), ensure_ascii=False)}\n" for line in lines)
    write_whole(path, gzip.compress(text.encode(), 9, mtime=0))


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Hold the file against other processes that change it; waits for them. Makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as held:  # not the file itself, which is replaced
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the file against a second benchmark that would do the same runs; its own processes may change it.

    Raises:
        CrossDError: when another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.benchmark").open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CrossDError(
                f"One benchmark writes to a file at a time; {path} is in use. Wait for it, or pass another --results "
                "file."
            ) from error
        yield
