"""Texts without the folders that files lie in, as folders are often named after patients."""

from __future__ import annotations

import re
from pathlib import PurePath

_PATH = re.compile(r"(?<![\w…./\\])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"]+[/\\])+([^\s/\\'\"]*)")
_QUOTED = re.compile(r"(['\"])(?:[A-Za-z]:)?[/\\](?:(?!\1).)*?([^/\\'\"]*)\1")


def without_folders(text: str, source: str, names: bool = True) -> str:
    """A message about a case with every path cut to its last part.

    Args:
        text: a reason or warning.
        source: the case's path, which may hold blanks.
        names: whether the last parts may be seen; without them a path becomes "…".

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
        for folder in path.parents:  # the deepest first
            if len(folder.parts) > 1:
                text = text.replace(f"{folder}/", "…/")
    shown = "…/{}" if names else "…"
    text = _QUOTED.sub(lambda found: f"{found[1]}{shown.format(found[2])}{found[1]}", text)
    text = _PATH.sub(lambda found: shown.format(found[1]), text)
    return text if names else re.sub(r"…/[^'\"]*(?=['\"])|…/\S*", "…", text)
