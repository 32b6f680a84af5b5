"""Folders of reports that other runs left, one JSON file each: a table has a part for each file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from crossd.errors import CrossDError

T = TypeVar("T")


def read_reports(
    folder: str | os.PathLike[str], read: Callable[[Path, dict[str, Any]], T], what: str, remedy: str
) -> list[T]:
    """What `read` makes of each `*.json` in a folder, by name; an empty list when there is none.

    Args:
        folder: of reports; it need not exist.
        read: from a file's path and content to its part of the table.
        what: the file is to be, for the message.
        remedy: how to get one, a sentence.

    Raises:
        CrossDError: for a file that is not JSON or lacks what `read` looks for.
    """
    made = []
    for file in sorted(Path(folder).glob("*.json")):
        try:
            made.append(read(file, json.loads(file.read_text(encoding="utf-8"))))
        except (ValueError, KeyError, TypeError) as error:
            raise CrossDError(f"{file} is no {what} ({type(error).__name__}: {error}). {remedy}") from error
    return made
