"""All files below a folder, seen at one glance: what a loop that looks every few seconds can afford."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from crossd.serve.series_versions import Signature, signature


def regular_files(root: Path) -> Iterator[tuple[str, Signature]]:
    """Every regular file below a folder, hidden ones left out, links followed, no folder twice.

    Raises:
        OSError: when the folder itself cannot be read; one below it that cannot is passed over until it can.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / ".part").touch(), (folder / "a").mkdir(), (folder / "a" / "1.dcm").touch()
    (None, None, None)
    >>> [os.path.basename(path) for path, _ in regular_files(folder)]
    ['1.dcm']
    """
    seen: set[tuple[int, int]] = set()
    folders = [str(root)]
    while folders:
        folder = folders.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name == "__MACOSX":
                        continue
                    try:
                        found = entry.stat()
                    except OSError:  # gone meanwhile, or a link to nowhere
                        continue
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(entry.path)
                    elif stat.S_ISREG(found.st_mode):
                        yield entry.path, signature(found)
        except OSError:
            if folder == str(root):
                raise
