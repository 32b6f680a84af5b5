"""Which case is which: a key that changes when its files do."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from crossd.data.content import source_files
from crossd.data.dicom.series import Series
from crossd.errors import CrossDError


def case_key(case: Mapping[str, Any]) -> str:
    """A fingerprint of an item of `crossd.data.find_cases`, as 16 hexadecimal digits.

    In it: name, source, why it cannot be read (where it says so), and path, size and time of change of every file, to
    the nanosecond. Not in it: what the files hold, so that thousands of them take a second.

    >>> case_key({"case": "a", "image": ["/no/a.nii.gz"]}) == case_key({"case": "a", "image": ["/no/b.nii.gz"]})
    False
    """
    image = case.get("image")
    files = [_state(file) for source in (image if isinstance(image, list) else [image]) for file in _files(source)]
    said = [case.get("case"), case.get("source"), case.get("error"), files]
    return hashlib.sha256(json.dumps(said, default=str).encode()).hexdigest()[:16]


def _files(source: Any) -> list[str]:
    if not isinstance(source, (str, os.PathLike, Series)):
        return []  # an image that is in memory already
    try:
        return source_files(source)
    except (OSError, CrossDError):  # the reader says what is wrong
        return [str(source)]


def _state(path: str) -> list[Any]:
    try:
        found = os.stat(path)
    except OSError:
        return [path]
    return [path, found.st_size, found.st_mtime_ns]
