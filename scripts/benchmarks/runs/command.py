"""What the commands of benchmarks with stored runs share: options, and how a command ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence

from crossd.errors import CrossDError, in_one_line, one_of

from scripts.benchmarks.runs.grid import Block
from scripts.benchmarks.runs.schedule import Outcome

Arguments = argparse.Namespace


def add_run_options(
    parser: argparse.ArgumentParser, seeds: Sequence[str], table: str, tables: Iterable[str], results: str
) -> None:
    """Every option that is the same in each of them, with its default."""
    parser.add_argument(
        "--seeds", nargs="+", default=list(seeds), metavar="FRACTION=COUNT", help=f"default: {' '.join(seeds)}"
    )
    parser.add_argument(
        "--pretrained", default="pretrained", help="folder of checkpoints <name>.pt (default: %(default)s)"
    )
    parser.add_argument(
        "--table", default=table, choices=tables, help="recipe, and mark in the page (default: %(default)s)"
    )
    parser.add_argument("--learning_rate", type=float, help="instead of the recipe's; the same for all methods")
    parser.add_argument("--results", default=results, help="file of the runs (default: %(default)s)")
    parser.add_argument(
        "--budget", type=float, metavar="HOURS", help="begin no block that would not be finished in time"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--report", action="store_true", help="make the tables, run nothing")
    parser.add_argument("--validation", action="store_true", help="show validation figures, run nothing, fix nothing")
    parser.add_argument("--page", metavar="FILE", help="page whose marks the tables go between: docs/results/tables.md")


def seeds_of(entries: Sequence[str]) -> dict[float, int]:
    """How many seeds for each fraction of the labels, of `--seeds`.

    >>> seeds_of(["0.1=10", "1.0=5"])
    {0.1: 10, 1.0: 5}
    """
    seeds = {}
    for entry in entries:
        fraction, _, count = entry.partition("=")
        try:
            seeds[float(fraction)] = int(count)
        except ValueError as error:
            raise CrossDError(f"--seeds takes FRACTION=COUNT, got {entry!r}. Example: --seeds 0.1=10 1.0=5.") from error
    return seeds


def check_device(device: str) -> None:
    """Refuse what is neither a CPU nor a GPU of NVIDIA's."""
    one_of("device", device.partition(":")[0], ("cpu", "cuda"))


def told(outcome: Outcome, grid: Sequence[Block]) -> int:
    """Print what was done; how many runs are left."""
    print(f"{outcome.done} runs done, {outcome.left} left; {outcome.complete} of {len(grid)} blocks are complete")
    return outcome.left


@in_one_line
def main(
    about: str | None,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    benchmark: Callable[[Arguments], int],
    report: Callable[[Arguments], str],
) -> int:
    """Do the runs unless only tables are asked for, and print the tables.

    Returns:
        The exit code: 0 for all done, 3 for some left, 1 for an error, 130 for Ctrl-C.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    arguments = parser.parse_args()
    try:
        left = 0 if arguments.report or arguments.validation else benchmark(arguments)
        print(report(arguments))
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 3 if left else 0
