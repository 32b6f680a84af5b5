"""What a run over cases was started with, and that only one at a time writes into a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

from crossd.errors import CrossDError
from crossd.files import digest, lock, write_whole
from crossd.version import __version__


class RunRecord:
    """`run.json`: the settings of the run, how often it was started, and whether it came to its end.

    It lies in `folder`; `settings` and `weights` are those of `RunJournal`.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], weights: str | Path | None = None) -> None:
        self.folder = folder
        self._given = dict(settings)
        self._weights = weights
        self._lock = ExitStack()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Those given, the digest of the weights and the version of this package, as they are stored."""
        weights = {} if self._weights is None else {"weights": digest(str(self._weights))}
        stored = {**self._given, **weights, "crossd_version": __version__}
        return dict(json.loads(json.dumps(stored, default=str)))

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
        content = {"settings": self.settings, "starts": starts, "finished": finished}
        write_whole(self.folder / "run.json", json.dumps(content, indent=1))

    def unlock(self) -> None:
        """Let others write into the folder."""
        self._lock.close()

    def lock(self) -> None:
        """Let no other process write into the folder, until `unlock` or the end of this one; refused where one does."""
        self.unlock()
        try:
            self._lock = lock(self.folder / "lock")
        except BlockingIOError as error:
            raise CrossDError(
                f"One run at a time writes into an output_dir, got {self.folder.parent}, into which another one writes "
                "now: wait for it, or choose another --output_dir"
            ) from error
