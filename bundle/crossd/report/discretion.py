"""Texts without the folders that files lie in, as folders are often named after patients."""

from __future__ import annotations

import re
from pathlib import PurePath

# A quote opens behind and closes before what is no letter, so that "O'Neill" and "scan's" hold none.
_PATH = re.compile(r"(?<![\w…./\\])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"]+[/\\])+([^\s/\\'\"]*)")
_QUOTED = re.compile(r"(?<!\w)(['\"])(?:[A-Za-z]:)?[/\\](?:(?!\1(?!\w)).)*?((?:(?!\1(?!\w))[^/\\])*)\1(?!\w)")
_IN_QUOTES = re.compile(r"(?<!\w)(['\"]).*?\1(?!\w)")
_SERIES = re.compile(r"\bseries \d+, .*?\b\d+ slices\b")  # `Series` as a text: its description is not in quotes
_UID = re.compile(r"\b[0-2](?:\.\d+){3,}\b")


def without_folders(text: str, source: str, names: bool = True) -> str:
    """A message about a case with every path cut to its last part.

    Args:
        text: a reason or warning.
        source: the case's path, which may hold blanks.
        names: whether the last parts may be seen; without them a path becomes "…", and so does all that may be a name:
            what stands in quotes, what a series is called, and UIDs.

    >>> without_folders("'/data/DOE JANE/a.nii.gz' has 0 bytes", "/data/DOE JANE/a.nii.gz")
    "'…/a.nii.gz' has 0 bytes"
    >>> without_folders("'/data/DOE JANE/a.nii.gz' has 0 bytes", "/data/DOE JANE/a.nii.gz", names=False)
    "'…' has 0 bytes"
    >>> without_folders("File /data/DOE/b.nii is no gzip file, ratio 1/2", "")
    'File …/b.nii is no gzip file, ratio 1/2'
    """
    path = PurePath(source)
    if path.is_absolute() and len(path.parts) > 1:
        text = text.replace(source, f"…/{path.name}" if names else "…")
    shown = "…/{}" if names else "…"
    text = _QUOTED.sub(lambda found: f"{found[1]}{shown.format(found[2])}{found[1]}", text)
    for folder in path.parents:  # the deepest first; outside of quotes a name may hold blanks
        if path.is_absolute() and len(folder.parts) > 1:
            text = re.sub(rf"{re.escape(str(folder))}/(?:[^\s/\\'\"]+/)*", "…/", text)
    text = _PATH.sub(lambda found: shown.format(found[1]), text)
    if names:
        return text
    text = re.sub(r"…/[^'\"]*(?=['\"])|…/\S*", "…", text)
    return _UID.sub("…", _SERIES.sub("series …", _IN_QUOTES.sub(r"\1…\1", text)))
