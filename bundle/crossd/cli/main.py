"""`crossd COMMAND …`: all commands with their help, and how each of them ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from crossd.cli import judging, tools, watching
from crossd.cli.demo import add_demo
from crossd.cli.help import nearest, say
from crossd.cli.runs import RUNS, add_run
from crossd.errors import CrossDError, rule_broken
from crossd.version import __version__

ABOUT = "2D→3D learning for medical volumes, inside MONAI: classify, segment, train and judge."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; what breaks a rule of this library is told in one line.

    Args:
        arguments: without the program's name; those of the process by default.

    Returns:
        The exit code: 0; 1 for a `CrossDError`; 2 where some cases failed, or for a command line that cannot be read.
    """
    try:
        given = _parsed(sys.argv[1:] if arguments is None else [*arguments])
        return given.run(given)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:
        cause = rule_broken(error)
        if cause is None:
            raise
        say(f"error: {cause}", sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Of all commands; `add_run` and the tools give each its options, and the function that runs it.

    >>> parser().parse_args(["predict", "scans", "--resume"]).resume
    'true'
    """
    program = argparse.ArgumentParser(prog="crossd", description=ABOUT, allow_abbrev=False)
    program.add_argument("--version", action="version", version=f"crossd {__version__}")
    commands = program.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, run in RUNS.items():
        add_run(commands, name, run)
    judging.add_runs(commands.choices["evaluate"])
    for add in (tools.add_prepare, tools.add_export, tools.add_pretrained, add_demo, watching.add_watch):
        add(commands)
    tools.add_completion(commands, program)
    return program


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """The options; `--output-dir` is `--output_dir`, and a name that is not known ends with the nearest one.

    Raises:
        CrossDError: for a command or an option that there is not.
    """
    program = parser()
    (commands,) = (action for action in program._actions if isinstance(action, argparse._SubParsersAction))
    if words and not words[0].startswith("-") and words[0] not in commands.choices:
        near = nearest(words[0], commands.choices)
        raise CrossDError(f"A command must be one of {', '.join(commands.choices)}; got {words[0]!r}. {near}")
    given, unknown = program.parse_known_args([_underscored(word) for word in words])
    if unknown:
        names = commands.choices[given.command]._option_string_actions
        raise CrossDError(
            f"An option must be one that `crossd {given.command} --help` lists; got {unknown[0]}. "
            f"{_elsewhere(unknown[0], commands) or nearest(unknown[0], names)}"
        )
    return given


def _elsewhere(option: str, commands: Any) -> str:
    """The other commands that have an option."""
    has = [f"`crossd {name}`" for name, other in commands.choices.items() if option in other._option_string_actions]
    return f"It is one of {' and '.join(has)}." if has else ""


def _underscored(word: str) -> str:
    name, equals, text = word.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{text}" if name.startswith("--") else word
