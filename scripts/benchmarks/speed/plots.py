"""How the cost grows: time against batch, channels and kernel size."""

from __future__ import annotations

import statistics
from pathlib import Path

from scripts.benchmarks.speed.results import Results
from scripts.benchmarks.speed.rows import PASSES, Row, rows

AXES = ("batch", "channels", "kernel size")


def growth_lines(mode: str, axis: int, results: Results) -> dict[str, list[tuple[int, float]]]:
    """Points of one panel: by contestant, `(size, milliseconds)` where only one size differs from the first row's.

    Args:
        mode: the pass.
        axis: 0 batch, 1 channels, 2 kernel size.
        results: those measured so far.
    """
    measured = [row for row in rows("growth") if row.mode == mode]
    base = _sizes(measured[0])
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in measured:
        sizes = _sizes(row)
        if row in results and all(
            one == other for i, (one, other) in enumerate(zip(sizes, base, strict=True)) if i != axis
        ):
            for name, seconds in results[row].get("seconds", {}).items():
                lines.setdefault(name, []).append((sizes[axis], 1000 * statistics.median(seconds)))
    return {name: sorted(points) for name, points in lines.items()}


def _sizes(row: Row) -> tuple[int, int, int]:
    return row.shape[0], row.shape[1], row.arguments[2]


def plot_growth(path: Path, results: Results) -> None:
    """A panel per pass and size, both axes logarithmic, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), dpi=80, layout="constrained")
    panels = figure.subplots(len(PASSES), len(AXES), sharey="row", squeeze=False)
    for mode, line in zip(PASSES, panels, strict=True):
        for axis, panel in enumerate(line):
            sizes: tuple[int, ...] = ()
            for name, points in growth_lines(mode, axis, results).items():
                sizes, milliseconds = zip(*points, strict=True)
                panel.plot(sizes, milliseconds, marker="o", label=name)
            panel.set_xscale("log", base=2)
            panel.set_xticks(sizes, [str(size) for size in sizes])
            panel.set_yscale("log")
            panel.set_title(f"{mode}, by {AXES[axis]}", fontsize=10)
            panel.grid(alpha=0.3)
        line[0].set_ylabel("milliseconds")
    if panels[0][0].lines:
        panels[0][0].legend()
    figure.savefig(path)
