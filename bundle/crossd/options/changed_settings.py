"""What a resumed run compares: the settings that were stored when it was started, with those it is given now."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossd.errors import CrossDError
from crossd.options.option import NO_VALUE

logger = logging.getLogger(__name__)

# What runs of old did not record, so that nobody knows what it was.
UNRECORDED = ("series", "tilt", "volume", "amp", "through_plane")
# And what it was where they did not say it.
BEFORE = {"processes": 1, "head_epochs": 0, "layer_decay": 1.0, "calibration": "temperature"}


def changes(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """In which settings a run that was started earlier differs, in words.

    `none` and `null` are no value, a tuple is the list that JSON makes of it, and a relative path is the absolute one.
    A run that does not say one of `UNRECORDED` is older than their record and does not differ by it.

    >>> changes({"epochs": 3, "weights": "none"}, {"epochs": 4, "weights": None, "tilt": "correct"})
    ['epochs was 3 and is 4']
    """
    before = {name: value for name, value in BEFORE.items() if name in given}
    stored, given = _plain({**before, **stored}), _plain(given)
    return [
        f"{name} was {stored.get(name)!r} and is {given.get(name)!r}"
        for name in sorted({*stored, *given} - {*_silent(stored, given)})
        if not _same(stored.get(name), given.get(name))
    ]


def with_more_epochs(stored: Mapping[str, Any], given: Mapping[str, Any], epoch: int) -> dict[str, Any]:
    """Stored settings, as they would be of a finished training that was started with the greater `epochs` now given.

    One that has not finished keeps its number: the learning rate of each epoch follows from it.

    Args:
        epoch: that is done.

    >>> [with_more_epochs({"epochs": 3}, {"epochs": 5}, epoch) for epoch in (2, 3)]
    [{'epochs': 3}, {'epochs': 5}]
    """
    before, now = stored.get("epochs"), given.get("epochs")
    more = isinstance(before, int) and isinstance(now, int) and now > before == epoch
    return {**stored, "epochs": now} if more else dict(stored)


def refuse_changes(stored: Mapping[str, Any], given: Mapping[str, Any], folder: Path) -> None:
    """Refuse to continue a run under other settings than it was started with.

    What the run in `folder` does not say, because it is older than that, is named in a warning.

    Raises:
        CrossDError: naming each setting that differs.

    >>> refuse_changes({"lr": 0.1}, {"lr": 0.1}, Path("out"))
    """
    changed = changes(stored, given)
    if changed:
        raise CrossDError(
            f"A run is resumed under the settings it was started with, got other ones for {folder}: "
            f"{'; '.join(changed)}. Give the same settings, choose another --output_dir, or pass --resume false to "
            "start again."
        )
    silent = _silent(stored, given)
    if silent:
        logger.warning(
            "the run in %s does not say its %s: make sure that %s now as then",
            *(folder, ", ".join(silent), ", ".join(f"{name} is {given[name]!r}" for name in silent)),
        )


def _silent(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    return [name for name in UNRECORDED if name in given and name not in stored]


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    read = dict(json.loads(json.dumps(dict(settings), default=str)))
    return {name: None if str(value).lower() in NO_VALUE else value for name, value in read.items()}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str) and os.path.isabs(other):
        return os.path.abspath(os.path.expanduser(one)) == os.path.abspath(other)
    return bool(one == other)
