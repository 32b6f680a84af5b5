"""The options of `python -m scripts.benchmarks.segmentation` and what they do."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts.benchmarks.runs.checkpoints import digests, find_pretrained
from scripts.benchmarks.runs.command import add_run_options, check_device, seeds_of, told
from scripts.benchmarks.runs.grid import Block, Cell, blocks
from scripts.benchmarks.runs.schedule import execute
from scripts.benchmarks.runs.tables import validation_table
from scripts.benchmarks.segmentation.methods import METHODS, find_methods
from scripts.benchmarks.segmentation.recipe import RECIPES
from scripts.benchmarks.segmentation.run import Inputs, perform
from scripts.benchmarks.segmentation.store import Results
from scripts.benchmarks.segmentation.tables import cell_table, comparisons, published_table
from scripts.pages import update_page

SET = "hippocampus"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every option, with its default."""
    parser.add_argument("--data", default="data", help="folder with hippocampus_msd/ (default: %(default)s)")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help=f"of {', '.join(METHODS)} (default: all)")
    add_run_options(parser, ["0.1=5", "0.25=3", "1.0=3"], "segmentation", RECIPES, "docs/results/segmentation.jsonl.gz")


def _grid(arguments: argparse.Namespace) -> tuple[list[Block], list[str]]:
    return blocks([SET], ["full"], seeds_of(arguments.seeds)), list(find_methods(arguments.methods))


def benchmark(arguments: argparse.Namespace) -> int:
    """Do the runs; how many are left."""
    check_device(arguments.device)
    grid, methods = _grid(arguments)
    recipe = RECIPES[arguments.table].changed(learning_rate=arguments.learning_rate)
    for block in grid:
        recipe.steps_at(block.cell.fraction)
    results = Results(arguments.results, recipe)
    folder = Path(arguments.data) / "hippocampus_msd"
    pretrained = find_pretrained(arguments.pretrained)
    inputs = Inputs(recipe, folder, pretrained, arguments.device, arguments.learning_rate is not None)
    used = {METHODS[name].pretraining for name in methods}
    results.made_of(digests({SET: folder}, {name: path for name, path in pretrained.items() if name in used}))
    with results.alone():
        return told(execute(grid, methods, perform, inputs, results, arguments.budget, arguments.workers), grid)


def report(arguments: argparse.Namespace) -> str:
    """With --report the tables of what is stored, to --page too; else validation figures."""
    grid, methods = _grid(arguments)
    results = Results(arguments.results)
    if not arguments.report:
        return validation_table(results, methods, "dice", "Dice", 4)
    cells: list[Cell] = sorted({block.cell for block in grid})
    tables = [cell_table(results, cell, methods) for cell in cells]
    beside = [comparisons(results, cells, methods), published_table()] if arguments.table == "segmentation" else []
    text = "\n\n".join([*tables, *beside])
    if arguments.page:
        update_page(arguments.page, arguments.table, text)
    return text
