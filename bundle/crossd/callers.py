"""Who has called what is running: MONAI tells config items neither workflow nor parser, and handlers no client.

Each of them is on the call stack while it calls. This is the only place that looks there.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import TypeVar

Caller = TypeVar("Caller")


def caller_of(kind: type[Caller]) -> Caller | None:
    """The nearest object of a class one of whose methods is running; None where there is none.

    >>> class Client:
    ...     def call(self):
    ...         return caller_of(Client) is self
    >>> Client().call(), caller_of(Client)
    (True, None)
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, kind):
            return caller
        frame = frame.f_back
    return None
