"""docs/results/tables.md: the tables between their marks, and the pictures beside the runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from scripts.benchmarks.runs.grid import Cell
from scripts.benchmarks.runs.lines import SUFFIX
from scripts.benchmarks.transfer.methods import METHODS
from scripts.benchmarks.transfer.pretrainings import pretraining_table
from scripts.benchmarks.transfer.published import published_tables
from scripts.benchmarks.transfer.store import Recommendation, Results
from scripts.benchmarks.transfer.tables import all_tables, metrics_of
from scripts.benchmarks.transfer.trained import trained_table
from scripts.pages import update_page


def write_report(
    results: Results,
    cells: Sequence[Cell],
    methods: Sequence[str],
    chosen: Recommendation,
    page: str | os.PathLike[str] | None,
    name: str,
) -> str:
    """Tables to the page, where one is given, and a picture beside the results; the tables."""
    text = all_tables(results, cells, methods, chosen)
    folder, table = results.path.parent, results.path.name.removesuffix(SUFFIX)
    picture = folder / f"{table}.png"
    plot_aucs(picture, results, cells, methods, chosen)
    if page is not None:
        shown = os.path.relpath(picture, Path(page).parent)
        update_page(page, name, f"{text}\n\n![Test AUC of every run, {name}]({Path(shown).as_posix()})")
        update_page(page, "pretraining", pretraining_table(folder / f"pretraining{SUFFIX}"))
        update_page(page, "full", trained_table(folder / f"full{SUFFIX}"))
        update_page(page, "published", published_tables())
    return text


def plot_aucs(
    path: Path, results: Results, cells: Sequence[Cell], methods: Sequence[str], chosen: Recommendation
) -> None:
    """A panel per cell, a row per method: the test AUC of every run as a dot, their mean as a bar."""
    from matplotlib.figure import Figure

    every = results.runs()
    columns = min(3, len(cells))
    rows = -(-len(cells) // columns)
    figure = Figure(figsize=(4.2 * columns, (0.9 + 0.24 * len(methods)) * rows), dpi=90, layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for panel, cell in zip(panels, cells, strict=False):
        for height, name in enumerate(reversed(methods)):
            runs = [block for block, method in every if block.cell == cell and method == name]
            values = [metrics_of(results.read_test(block, name, chosen))["auc"] for block in runs]
            colour = "tab:orange" if METHODS[name].ours else "tab:blue"
            panel.plot(values, [height] * len(values), "o", color=colour, alpha=0.5, markersize=4)
            if values:
                mean = sum(values) / len(values)
                panel.plot([mean, mean], [height - 0.35, height + 0.35], color="black")
        panel.set_title(str(cell), fontsize=9)
        panel.set_yticks(range(len(methods)), list(reversed(methods)), fontsize=8)
        panel.set_xlabel("test AUC", fontsize=8)
        panel.grid(alpha=0.3)
    for panel in panels[len(cells) :]:
        panel.set_visible(False)
    figure.savefig(path)
