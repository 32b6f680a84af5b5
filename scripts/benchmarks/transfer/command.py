"""The options of `python -m scripts.benchmarks.transfer` and what they do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from crossd.errors import CrossDError

from scripts.benchmarks.runs.checkpoints import digests, find_pretrained
from scripts.benchmarks.runs.command import add_run_options, check_device, seeds_of, told
from scripts.benchmarks.runs.grid import PAPER, PROTOCOLS, Block, Cell, blocks
from scripts.benchmarks.runs.schedule import execute
from scripts.benchmarks.runs.tables import validation_table
from scripts.benchmarks.transfer.methods import METHODS, find_methods
from scripts.benchmarks.transfer.page import write_report
from scripts.benchmarks.transfer.recipe import RECIPES
from scripts.benchmarks.transfer.run import Inputs, perform
from scripts.benchmarks.transfer.store import Results, recommend

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
    add_run_options(parser, ["0.1=10", "1.0=5"], "cpu", RECIPES, "docs/results/cpu.jsonl.gz")
    parser.add_argument(
        "--images",
        nargs="+",
        default=[],
        metavar="FILE",
        help="2D sources of the hybrid methods, as for pretrain_2d.json",
    )
    parser.add_argument("--medicalnet", metavar="FILE", help="a MedicalNet ResNet: adds the row")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, help="instead of the recipe's")
    parser.add_argument("--choose_again", action="store_true", help="fix the recommended variant anew, by validation")
    parser.add_argument(
        "--mark", metavar="NAME", help="which marks (default: the table's name, with -paper by that protocol)"
    )


def _grid(arguments: argparse.Namespace) -> tuple[list[Block], list[str]]:
    names = [*(arguments.methods or FIRST), *(["medicalnet"] if arguments.medicalnet else [])]
    sets = [name.partition("=")[0] for name in arguments.sets]
    return blocks(sets, arguments.protocol, seeds_of(arguments.seeds)), list(find_methods(names))


def benchmark(arguments: argparse.Namespace) -> int:
    """Do the runs; how many are left."""
    check_device(arguments.device)
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
        return told(execute(grid, methods, perform, inputs, results, arguments.budget, arguments.workers), grid)


def report(arguments: argparse.Namespace) -> str:
    """With --report the tables of what is stored, to --page too; else validation figures, by which nothing is fixed."""
    grid, methods = _grid(arguments)
    results = Results(arguments.results)
    if not arguments.methods:
        methods = list(find_methods([*methods, *LATER, *{name for _, name in results.runs()}]))
    candidates = [name for name in methods if METHODS[name].ours]
    if not arguments.report:
        return validation_table(results, methods, "auc", "AUC", 3)
    if not candidates:
        raise CrossDError(
            f"Tables are made around a variant of ours, got the methods {', '.join(methods)}. Name one of "
            f"{', '.join(name for name, method in METHODS.items() if method.ours)} in --methods."
        )
    chosen = recommend(results, candidates, again=arguments.choose_again)
    if chosen.method not in methods:
        raise CrossDError(
            f"Tables are made around the recommended variant, {chosen.method} in {results.path}; --methods are "
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
