"""What is wrong with those who call, said often enough to be seen and seldom enough to be read."""

from __future__ import annotations

import logging
import math
import threading
import time

EVERY = 60.0  # seconds
_KEPT = 1000

logger = logging.getLogger(__name__)


class Complaints:
    """Warnings about callers: of one address the same one once a minute, with how often it was, as floods fill disks.

    >>> import logging, sys
    >>> handler = logging.StreamHandler(sys.stdout)
    >>> logger.addHandler(handler)
    >>> complaints = Complaints()
    >>> for _ in range(3):
    ...     complaints.say("10.0.0.1", "rejected an association", "it is not among those of --allow", "EVIL")
    rejected an association from 10.0.0.1: it is not among those of --allow (EVIL)
    >>> logger.removeHandler(handler)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[tuple[str, str, str], tuple[float, int]] = {}

    def say(self, host: str, what: str, why: str, detail: str = "", level: int = logging.WARNING) -> None:
        """Log it, unless the same was logged within the last minute; another `detail` makes no other complaint."""
        key, now = (host, what, why), time.monotonic()
        with self._lock:
            last, unsaid = self._said.get(key, (-math.inf, 0))
            if now - last < EVERY:
                self._said[key] = last, unsaid + 1
                return
            if len(self._said) >= _KEPT:
                self._said.clear()
            self._said[key] = now, 0
        more = f"; {unsaid} times more in the minutes before" if unsaid else ""
        logger.log(level, "%s from %s: %s%s%s", what, host, why, f" ({detail})" if detail else "", more)
