"""The one exception class of this library, and how a command line reports it."""

from __future__ import annotations

import sys
from types import TracebackType


class CrossDError(ValueError):
    """A rule of this library was broken.

    Every message states the rule, the value that broke it and the remedy, in that order.
    """


def report_plainly() -> None:
    """Let `python -m monai.bundle` end with the message of a `CrossDError` instead of MONAI's traceback about configs.

    MONAI wraps what a config item raises in several `RuntimeError`s, and the message that helps is lost among them.
    Other errors, and programs that run bundles themselves, are left as they are. The exit code is 1 either way.
    """
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    if main is None or main.name != "monai.bundle.__main__":
        return
    others = sys.excepthook

    def report(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, CrossDError):
            cause = cause.__cause__
        if cause is None:
            others(kind, error, traceback)
        else:
            print(f"error: {cause}", file=sys.stderr)

    sys.excepthook = report
