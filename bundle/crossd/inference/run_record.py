"""What a run over cases was started with, and that only one at a time writes into a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from crossd.data.content import digest
from crossd.errors import CrossDError
from crossd.version import __version__


class RunRecord:
    """`run.json`: the settings of the run, how often it was started, and whether it came to its end.

    Args:
        folder: where it lies.
        settings: JSON-able, what decides the answers.
        weights: the checkpoint, whose bytes are among the settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], weights: str | Path | None = None) -> None:
        self.folder = folder
        self._given = dict(settings)
        self._weights = weights
        self._settings: dict[str, Any] | None = None
        self._lock: IO[str] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Those given, the digest of the weights and the version of this package, as they are stored."""
        if self._settings is None:
            weights = {} if self._weights is None else {"weights": digest(str(self._weights))}
            stored = {**self._given, **weights, "crossd_version": __version__}
            self._settings = dict(json.loads(json.dumps(stored, default=str)))
        return self._settings

    def read(self) -> dict[str, Any] | None:
        """What an earlier run has stored: `{"settings", "starts", "finished"}`; None where there was none."""
        try:
            said = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
            return {
                "settings": dict(said["settings"]),
                "starts": int(said["starts"]),
                "finished": bool(said["finished"]),
            }
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, starts: int, finished: bool) -> None:
        """Store, whole or not at all."""
        part = self.folder / ".run.json.part"
        with part.open("w", encoding="utf-8") as file:
            json.dump({"settings": self.settings, "starts": starts, "finished": finished}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.folder / "run.json")

    def changes(self, stored: Mapping[str, Any]) -> list[str]:
        """In which settings an earlier run differs, in words."""
        return [
            f"{name} was {stored.get(name)!r} and is {self.settings.get(name)!r}"
            for name in sorted({*stored, *self.settings})
            if stored.get(name) != self.settings.get(name)
        ]

    def unlock(self) -> None:
        """Let others write into the folder."""
        if self._lock is not None:
            self._lock.close()
        self._lock = None

    def lock(self) -> None:
        """Let no other process write into the folder, until `unlock` or the end of this one.

        Raises:
            CrossDError: when another does.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            return
        file = (self.folder / "lock").open("a")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the process, so a second run in it may go on
        except (BlockingIOError, PermissionError) as error:
            file.close()
            raise CrossDError(
                f"One run at a time writes into an output_dir, got {self.folder.parent}, into which another one writes "
                "now: wait for it, or choose another --output_dir"
            ) from error
        except OSError:  # a file system without locks
            pass
        self._lock = file
