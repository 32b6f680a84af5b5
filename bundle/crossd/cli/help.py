"""What the commands show alike: their help, the nearest name to one that is not known, columns."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from crossd.texts import printable


def add_command(commands: Any, name: str, about: str, example: str, **options: Any) -> argparse.ArgumentParser:
    """Add a command; its help ends with an example.

    Args:
        commands: what `ArgumentParser.add_subparsers` returned.
        options: further ones of `ArgumentParser`.
    """
    return commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.\n\nExample: {example}",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **options,
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence with the nearest known name.

    >>> nearest("--weight", ["--weights", "--width"])
    'Did you mean --weights?'
    """
    near = difflib.get_close_matches(name, [*known], 1)
    return f"Did you mean {near[0]}?" if near else "Leave it out."


def say(line: str, file: TextIO | None = None) -> None:
    """Print a line in which texts of others are shown safely; on standard output, or another stream."""
    print(printable(line).rstrip(), file=file, flush=True)


def print_columns(rows: Iterable[Sequence[str]]) -> None:
    """Print rows of equal length, each column as wide as its widest cell; texts of others are shown safely."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
