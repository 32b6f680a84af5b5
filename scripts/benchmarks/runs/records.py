"""Reports that other commands wrote, kept by name in one file: a table has a part for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from crossd.errors import CrossDError

from scripts.benchmarks.runs.lines import changing, read_lines, results_file, write_lines

T = TypeVar("T")


def record(path: str | os.PathLike[str], name: str, report: Mapping[str, Any]) -> None:
    """Keep a report in a file, in the place of one of that name, else after the others."""
    path = results_file(path)
    with changing(path):
        lines = {line["name"]: line for line in read_lines(path)}
        write_lines(path, {**lines, name: {"name": name, "report": dict(report)}}.values())


def recorded(path: str | os.PathLike[str], make: Callable[[str, dict[str, Any]], T], what: str, remedy: str) -> list[T]:
    """What `make` makes of each report of a file, in their order; an empty list where there is none.

    A line with `"table": false` is kept for the record and left out.

    Args:
        path: of the file; it need not exist.
        make: from a report's name and content to its part of the table.
        what: the report is to be, for the message.
        remedy: how to get one, a sentence.

    Raises:
        CrossDError: for a report that lacks what `make` looks for, and a file that is damaged.
    """
    path, made = results_file(path), []
    for line in read_lines(path):
        if not line.get("table", True):
            continue
        try:
            made.append(make(line["name"], line["report"]))
        except (ValueError, KeyError, TypeError) as error:
            raise CrossDError(
                f"{line.get('name')} in {path} is no {what} ({type(error).__name__}: {error}). {remedy}"
            ) from error
    return made
