"""Parts of the tables of stored runs: which runs are paired, their differences, and validation figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from scripts.benchmarks.runs.grid import Block, Cell
from scripts.benchmarks.runs.statistics import Difference
from scripts.benchmarks.runs.store import StoredRuns

NOT_RUN = "not run"
Pair = tuple[str, str]


def shared_blocks(results: StoredRuns, cell: Cell, methods: Sequence[str]) -> list[Block]:
    """The blocks of a cell in which all of these methods ran, by seed."""
    every = set(results.runs())
    found = {block for block, _ in every if block.cell == cell}
    return sorted(block for block in found if all((block, name) in every for name in methods))


def paired(
    results: StoredRuns,
    cell: Cell,
    pairs: Sequence[Pair],
    read: Callable[[Block, str], Any],
    compare: Callable[[list[Any], list[Any]], Difference],
) -> dict[Pair, Difference]:
    """First minus second, for the pairs of methods that share seeds, without correction.

    Args:
        results: the stored runs.
        cell: on which.
        pairs: of different methods; of others nothing is found.
        read: the test cases of a run.
        compare: the test cases of runs of the first with those of the second, on the same seeds.
    """
    found = {}
    for one, other in pairs:
        shared = shared_blocks(results, cell, [one, other]) if one != other else []
        if shared:
            ours, theirs = ([read(block, side) for block in shared] for side in (one, other))
            found[one, other] = compare(ours, theirs)
    return found


def comparison_table(
    figure: str,
    columns: Mapping[str, Callable[[Cell, Difference | None], str]],
    rows: Mapping[Cell, Mapping[Pair, Difference | None]],
) -> str:
    """A row for each pair of each cell.

    Args:
        figure: what is compared.
        columns: between the pair and the difference, by their heads.
        rows: differences; None where a pair shares no seed.
    """
    head = [f"{figure} of one minus the other", *columns, "difference", "p", "p, Holm"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for cell, gaps in rows.items():
        for (one, other), gap in gaps.items():
            cells = [f"{one} − {other}", *(column(cell, gap) for column in columns.values()), gap_cells(gap)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def gap_cells(gap: Difference | None) -> str:
    """Three cells: the difference, p, and p after correction."""
    return "– | – | –" if gap is None else gap.cells()


def validation_table(results: StoredRuns, methods: Sequence[str], figure: str, title: str, digits: int) -> str:
    """Mean validation figure by method and cell: what may be looked at before the test side.

    Args:
        results: the stored runs.
        methods: the rows.
        figure: its name in the stored `val`.
        title: its name in the table.
        digits: shown of it.
    """
    cells = sorted({block.cell for block, _ in results.runs()})
    lines = [f"| validation {title} | {' | '.join(map(str, cells))} |", "|---|" + "---|" * len(cells)]
    for name in methods:
        row = []
        for cell in cells:
            values = [results.read(block, name)["val"][figure] for block in shared_blocks(results, cell, [name])]
            row.append(f"{np.mean(values):.{digits}f} (n {len(values)})" if values else NOT_RUN)
        lines.append(f"| {name} | {' | '.join(row)} |")
    return "\n".join(lines)
