"""The options of `scripts/benchmark_transfer.py` and what they do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from crossd.benchmark.transfer.grid import PAPER, PROTOCOLS, Block, Cell, blocks
from crossd.benchmark.transfer.methods import METHODS, find_methods
from crossd.benchmark.transfer.page import write_report
from crossd.benchmark.transfer.recipe import RECIPES
from crossd.benchmark.transfer.run import Inputs, digests, find_pretrained
from crossd.benchmark.transfer.schedule import execute
from crossd.benchmark.transfer.store import Results, recommend
from crossd.benchmark.transfer.tables import validation_table
from crossd.errors import CrossDError, one_of

SETS = ("vesselmnist3d", "adrenalmnist3d", "hippocampusparts")
FIRST = ("scratch", "i3d-mean", "acs", "raw", "running", "rest", "axes-projection", "rotate-projection")
LATER = ("i3d-centre", "2.5d", "dynamic")  # rows of every report too, run or not
IN_DATA = {"hippocampusparts": "hippocampus_msd"}  # where a set lies in --data, if not at medmnist/<name>.npz


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every option, with its default."""
    parser.add_argument(
        "--data", default="data", help="folder with medmnist/*.npz and hippocampus_msd/ (default: %(default)s)"
    )
    parser.add_argument(
        "--sets", nargs="+", default=list(SETS), metavar="NAME[=PATH]", help=f"default: {' '.join(SETS)}"
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        help=f"of {', '.join(METHODS)} (default: {' '.join(FIRST)}; of a report also {' '.join(LATER)}, and what was "
        "run)",
    )
    parser.add_argument(
        "--protocol", nargs="+", default=list(PROTOCOLS), help="probe, full, or paper (default: probe full)"
    )
    parser.add_argument(
        "--seeds", nargs="+", default=["0.1=10", "1.0=5"], metavar="FRACTION=COUNT", help="default: 0.1=10 1.0=5"
    )
    parser.add_argument(
        "--pretrained", default="pretrained", help="folder of checkpoints <name>.pt (default: %(default)s)"
    )
    parser.add_argument(
        "--images",
        nargs="+",
        default=[],
        metavar="FILE",
        help="2D sources of the hybrid methods, as for pretrain_2d.json",
    )
    parser.add_argument("--medicalnet", metavar="FILE", help="a MedicalNet ResNet: adds the row")
    parser.add_argument(
        "--table", default="cpu", choices=RECIPES, help="recipe, and mark in the page (default: %(default)s)"
    )
    parser.add_argument("--learning_rate", type=float, help="instead of the recipe's; the same for all methods")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, help="instead of the recipe's")
    parser.add_argument("--results", default="docs/results/cpu", help="folder (default: %(default)s)")
    parser.add_argument(
        "--budget", type=float, metavar="HOURS", help="begin no block that would not be finished in time"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--report", action="store_true", help="fix the variant, make the tables, run nothing")
    parser.add_argument("--validation", action="store_true", help="show validation figures, run nothing, fix nothing")
    parser.add_argument("--choose_again", action="store_true", help="fix the recommended variant anew, by validation")
    parser.add_argument("--page", metavar="FILE", help="page whose marks the tables go between: docs/results.md")
    parser.add_argument(
        "--mark", metavar="NAME", help="which marks (default: the table's name, with -paper by that protocol)"
    )


def _grid(arguments: argparse.Namespace) -> tuple[list[Block], list[str]]:
    seeds = {}
    for entry in arguments.seeds:
        fraction, _, count = entry.partition("=")
        try:
            seeds[float(fraction)] = int(count)
        except ValueError as error:
            raise CrossDError(f"--seeds takes FRACTION=COUNT, got {entry!r}. Example: --seeds 0.1=10 1.0=5.") from error
    names = [*(arguments.methods or FIRST), *(["medicalnet"] if arguments.medicalnet else [])]
    return blocks([name.partition("=")[0] for name in arguments.sets], arguments.protocol, seeds), list(
        find_methods(names)
    )


def benchmark(arguments: argparse.Namespace) -> int:
    """Do the runs; how many are left."""
    one_of("device", arguments.device.partition(":")[0], ("cpu", "cuda"))
    grid, methods = _grid(arguments)
    if "medicalnet" in (arguments.methods or ()) and not arguments.medicalnet:
        raise CrossDError("The method 'medicalnet' needs its weights, got none. Pass --medicalnet FILE.")
    recipe = RECIPES[arguments.table].changed(learning_rate=arguments.learning_rate, bf16=arguments.bf16)
    results = Results(arguments.results, recipe)
    pretrained = find_pretrained(arguments.pretrained, arguments.medicalnet)
    images = tuple(map(Path, arguments.images))
    inputs = Inputs(recipe, _paths(arguments.sets, Path(arguments.data)), pretrained, arguments.device, images)
    used = {METHODS[name].pretraining for name in methods}
    results.made_of(digests(inputs.sets, {name: path for name, path in pretrained.items() if name in used}))
    with results.alone():
        outcome = execute(grid, methods, inputs, results, arguments.budget, arguments.workers)
    print(f"{outcome.done} runs done, {outcome.left} left; {outcome.complete} of {len(grid)} blocks are complete")
    return outcome.left


def report(arguments: argparse.Namespace) -> str:
    """With --report the tables of what is stored, to --page too; else validation figures, by which nothing is fixed."""
    grid, methods = _grid(arguments)
    results = Results(arguments.results)
    if not arguments.methods:
        methods = list(find_methods([*methods, *LATER, *{name for _, name in results.runs()}]))
    candidates = [name for name in methods if METHODS[name].ours]
    if not arguments.report:
        return validation_table(results, methods)
    if not candidates:
        raise CrossDError(
            f"Tables are made around a variant of ours, got the methods {', '.join(methods)}. Name one of "
            f"{', '.join(name for name, method in METHODS.items() if method.ours)} in --methods."
        )
    chosen = recommend(results, candidates, again=arguments.choose_again)
    if chosen.method not in methods:
        raise CrossDError(
            f"Tables are made around the recommended variant, {chosen.method} in {results.folder}; --methods are "
            f"{', '.join(methods)}. Name it too."
        )
    cells: Sequence[Cell] = list(dict.fromkeys(block.cell for block in grid))
    mark = arguments.table if PAPER not in arguments.protocol else f"{arguments.table}-paper"
    return write_report(results, cells, methods, chosen, arguments.page, arguments.mark or mark)


def _paths(sets: Sequence[str], data: Path) -> dict[str, Path]:
    found = {}
    for entry in sets:
        name, _, path = entry.partition("=")
        found[name] = Path(path) if path else data / IN_DATA.get(name, f"medmnist/{name}.npz")
    return found
