"""The command line: `crossd COMMAND …`, each command a thin module over the library."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from crossd.cli import watch
from crossd.errors import CrossDError
from crossd.version import __version__

COMMANDS = {"watch": watch}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; what breaks a rule of this library is told in one line.

    Args:
        arguments: without the program's name; those of the process by default.

    Returns:
        The exit code: 0, or 1 for a `CrossDError`, or what the command says.
    """
    parser = argparse.ArgumentParser(prog="crossd", description="2D→3D learning for medical volumes, inside MONAI.")
    parser.add_argument("--version", action="version", version=f"crossd {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        text = module.__doc__ or ""
        command = commands.add_parser(
            name, help=text.splitlines()[0], description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(command)
    given = parser.parse_args(arguments)
    try:
        return COMMANDS[given.command].run(given)
    except Exception as error:
        cause: BaseException | None = error  # MONAI wraps what an item of a configuration raises
        while cause is not None and not isinstance(cause, CrossDError):
            cause = cause.__cause__
        if cause is None:
            raise
        print(f"error: {cause}", file=sys.stderr)
        return 1
