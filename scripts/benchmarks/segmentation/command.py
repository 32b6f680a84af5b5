"""The options of `scripts/benchmark_segmentation.py` and what they do."""

from __future__ import annotations

import argparse
from pathlib import Path

from crossd.benchmark.segmentation.methods import METHODS, find_methods
from crossd.benchmark.segmentation.published import published_table
from crossd.benchmark.segmentation.recipe import RECIPES
from crossd.benchmark.segmentation.run import MaskInputs, perform_masks
from crossd.benchmark.segmentation.store import MaskResults
from crossd.benchmark.segmentation.tables import cell_table, comparison_table, validation_table
from crossd.benchmark.transfer.grid import Block, Cell, blocks
from crossd.benchmark.transfer.page import update_page
from crossd.benchmark.transfer.run import digests, find_pretrained
from crossd.benchmark.transfer.schedule import execute
from crossd.errors import CrossDError, one_of

SET, SCRIPT = "hippocampus", "scripts/benchmark_segmentation.py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every option, with its default."""
    parser.add_argument("--data", default="data", help="folder with hippocampus_msd/ (default: %(default)s)")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help=f"of {', '.join(METHODS)} (default: all)")
    parser.add_argument(
        "--seeds",
        nargs="+",
        default=["0.1=5", "0.25=3", "1.0=3"],
        metavar="FRACTION=COUNT",
        help="default: 0.1=5 0.25=3 1.0=3",
    )
    parser.add_argument(
        "--pretrained", default="pretrained", help="folder of checkpoints <name>.pt (default: %(default)s)"
    )
    parser.add_argument(
        "--table", default="segmentation", choices=RECIPES, help="recipe, and mark in the page (default: %(default)s)"
    )
    parser.add_argument(
        "--learning_rate", type=float, help="instead of the recipe's and the methods'; the same for all"
    )
    parser.add_argument("--results", default="docs/results/segmentation", help="folder (default: %(default)s)")
    parser.add_argument(
        "--budget", type=float, metavar="HOURS", help="begin no block that would not be finished in time"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--report", action="store_true", help="make the tables, run nothing")
    parser.add_argument("--validation", action="store_true", help="show validation figures, run nothing")
    parser.add_argument("--page", metavar="FILE", help="page whose marks the tables go between: docs/results.md")


def _grid(arguments: argparse.Namespace) -> tuple[list[Block], list[str]]:
    seeds = {}
    for entry in arguments.seeds:
        fraction, _, count = entry.partition("=")
        try:
            seeds[float(fraction)] = int(count)
        except ValueError as error:
            raise CrossDError(f"--seeds takes FRACTION=COUNT, got {entry!r}. Example: --seeds 0.1=5 1.0=3.") from error
    return blocks([SET], ["full"], seeds), list(find_methods(arguments.methods))


def benchmark(arguments: argparse.Namespace) -> int:
    """Do the runs; how many are left."""
    one_of("device", arguments.device.partition(":")[0], ("cpu", "cuda"))
    grid, methods = _grid(arguments)
    recipe = RECIPES[arguments.table].changed(learning_rate=arguments.learning_rate)
    for block in grid:
        recipe.steps_at(block.cell.fraction)
    results = MaskResults(arguments.results, recipe)
    folder = Path(arguments.data) / "hippocampus_msd"
    pretrained = find_pretrained(arguments.pretrained)
    inputs = MaskInputs(recipe, folder, pretrained, arguments.device, arguments.learning_rate is not None)
    used = {METHODS[name].pretraining for name in methods}
    results.made_of(digests({SET: folder}, {name: path for name, path in pretrained.items() if name in used}))
    with results.alone():
        outcome = execute(grid, methods, inputs, results, arguments.budget, arguments.workers, do=perform_masks)
    print(f"{outcome.done} runs done, {outcome.left} left; {outcome.complete} of {len(grid)} blocks are complete")
    return outcome.left


def report(arguments: argparse.Namespace) -> str:
    """With --report the tables of what is stored, to --page too; else validation figures."""
    grid, methods = _grid(arguments)
    results = MaskResults(arguments.results)
    if not arguments.report:
        return validation_table(results, methods)
    cells: list[Cell] = sorted({block.cell for block in grid})
    tables = [cell_table(results, cell, methods) for cell in cells]
    text = "\n\n".join([*tables, comparison_table(results, cells, methods), published_table()])
    if arguments.page:
        update_page(arguments.page, arguments.table, text, SCRIPT)
    return text
