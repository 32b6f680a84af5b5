"""docs/results.md: the tables between their marks, and the pictures beside the runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from crossd.benchmark.transfer.grid import Cell
from crossd.benchmark.transfer.methods import METHODS
from crossd.benchmark.transfer.pretrainings import pretraining_table
from crossd.benchmark.transfer.published import published_tables
from crossd.benchmark.transfer.store import Recommendation, Results
from crossd.benchmark.transfer.tables import all_tables, metrics_of
from crossd.benchmark.transfer.trained import trained_table
from crossd.errors import CrossDError


def update_page(
    page: str | os.PathLike[str], name: str, content: str, script: str = "scripts/benchmark_transfer.py"
) -> None:
    """Put `content` between the marks `<!-- name:begin (made by script: do not edit) -->` and `<!-- name:end -->`.

    Raises:
        CrossDError: when the page or its marks are not there.
    """
    page = Path(page)
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    begin, end = f"<!-- {name}:begin (made by {script}: do not edit) -->", f"<!-- {name}:end -->"
    if begin not in text or end not in text:
        raise CrossDError(f"A page is written between its marks; {page} lacks {begin!r} or {end!r}. Put both in it.")
    head, tail = text[: text.index(begin)], text[text.index(end) :]
    page.write_text(f"{head}{begin}\n{content}\n{tail}", encoding="utf-8")


def write_report(
    results: Results,
    cells: Sequence[Cell],
    methods: Sequence[str],
    chosen: Recommendation,
    page: str | os.PathLike[str] | None,
    name: str,
) -> str:
    """Tables to the page, where one is given, and a picture to the results; the tables."""
    text = all_tables(results, cells, methods, chosen)
    picture = results.folder / "auc.png"
    plot_aucs(picture, results, cells, methods, chosen)
    if page is not None:
        shown = os.path.relpath(picture, Path(page).parent)
        update_page(page, name, f"{text}\n\n![Test AUC of every run, {name}]({Path(shown).as_posix()})")
        update_page(page, "pretraining", pretraining_table(results.folder.parent / "pretraining"))
        update_page(page, "full", trained_table(results.folder.parent / "full"))
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
