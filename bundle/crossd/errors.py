"""The one exception class of this library, its commonest rule, and how a command line reports it."""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import ParamSpec, TypeVar

from crossd.texts import printable

Option = TypeVar("Option")
Arguments = ParamSpec("Arguments")


class CrossDError(ValueError):
    r"""A rule of this library was broken.

    Every message states the rule, the value that broke it and the remedy, in that order. The value may be anything that
    stands in a file; what of it a terminal would obey is shown by its number.

    >>> print(CrossDError("'\x1b[2Ja.nii' is damaged"))
    '\x1b[2Ja.nii' is damaged
    """

    def __str__(self) -> str:
        return printable(super().__str__())


def one_of(name: str, value: Option, options: Iterable[Option]) -> Option:
    """A value that must be one of a few; the error names the nearest.

    >>> one_of("motion", "shift", ("shift", "rotate"))
    'shift'
    >>> one_of("motion", "rotation", ("shift", "rotate"))
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: `motion` must be one of 'shift', 'rotate'; got 'rotation'. Did you mean 'rotate'?
    """
    known = list(options)
    if value in known:
        return value
    names = {str(option).lower(): option for option in known}
    near = difflib.get_close_matches(str(value).lower(), names, 1)
    remedy = f"Did you mean {names[near[0]]!r}?" if near else "Choose one of these."
    raise CrossDError(f"`{name}` must be one of {', '.join(map(repr, known))}; got {value!r}. {remedy}")


def counted(number: int, what: str) -> str:
    """A number of things, in words of a message.

    >>> counted(1, "case"), counted(2, "case")
    ('1 case', '2 cases')
    """
    return f"{number} {what}{'s' * (number != 1)}"


def rule_broken(error: BaseException | None) -> CrossDError | None:
    """The `CrossDError` that caused another, as MONAI wraps what a config item raises; None where there is none."""
    while error is not None and not isinstance(error, CrossDError):
        error = error.__cause__
    return error


def in_one_line(command: Callable[Arguments, int]) -> Callable[Arguments, int]:
    """Let a command that ends with a `CrossDError` say it in a line of standard error, with the exit code 1.

    >>> @in_one_line
    ... def main() -> int:
    ...     raise CrossDError("A window has three sides, got 2. Give depth, height, width.")
    >>> main()
    1
    """

    @functools.wraps(command)
    def ended(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except CrossDError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1

    return ended


def on_command_line() -> bool:
    """Whether this process is `python -m monai.bundle …`, and no program that runs bundles itself."""
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    return main is not None and main.name == "monai.bundle.__main__"


def report_plainly() -> None:
    """Let `python -m monai.bundle` end with the message of a `CrossDError` instead of MONAI's traceback about configs.

    MONAI wraps what a config item raises in several `RuntimeError`s, and the message that helps is lost among them.
    Other errors, and programs that run bundles themselves, are left as they are. The exit code is 1 either way.
    """
    if not on_command_line() or sys.excepthook.__module__ == __name__:
        return
    others = sys.excepthook

    def report(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        cause = rule_broken(error)
        if cause is None:
            others(kind, error, traceback)
        else:
            print(f"error: {cause}", file=sys.stderr)

    sys.excepthook = report
