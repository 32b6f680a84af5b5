"""From results to docs/performance/tables.md: a table per section, and one of the bounds that were aimed at."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.speed.plots import plot_growth
from scripts.benchmarks.speed.results import Result, Results
from scripts.benchmarks.speed.rows import SECTIONS, Row, rows
from scripts.benchmarks.speed.timing import Quartiles, ratios


@dataclass(frozen=True)
class Bound:
    """What was aimed at: a ratio of two contestants in the rows of a section.

    Attributes:
        what: in words.
        section, kind, mode: choose the rows; an empty mode is both.
        one, other: contestants; their ratio is bounded.
        limit: of the ratio; at most this, or at least this where `at_least`.
        memory: whether the ratio is that of peak memory instead of time.
    """

    what: str
    section: str
    kind: str
    mode: str
    one: str
    other: str
    limit: float
    memory: bool = False
    at_least: bool = False

    def rows(self) -> list[Row]:
        return [row for row in rows(self.section) if row.kind == self.kind and self.mode in ("", row.mode)]

    def value(self, result: Result) -> Quartiles | None:
        """The ratio in one row; `None` where it was not measured."""
        if self.memory:
            peaks = {name: entry["peak"] for name, entry in result["memory"].items()}
            if not {self.one, self.other} <= set(peaks):
                return None
            return Quartiles.of([peaks[self.one] / peaks[self.other]])
        seconds = result.get("seconds", {})
        if not {self.one, self.other} <= set(seconds):
            return None
        return Quartiles.of(ratios({self.other: seconds[self.other], self.one: seconds[self.one]})[self.one])


BOUNDS = (
    Bound(
        "kernel generation, times faster than FFT", "resnet", "generation", "", "FFT", "CrossDConv", 40, at_least=True
    ),
    Bound(
        "kernel generation, peak memory of FFT over ours",
        "resnet",
        "generation",
        "",
        "FFT",
        "CrossDConv",
        10,
        memory=True,
        at_least=True,
    ),
    Bound("Table III, forward, CrossDConv / Conv2d", "table3", "layer", "forward", "CrossDConv", "Conv2d", 1.15),
    Bound("Table III, training, CrossDConv / Conv2d", "table3", "layer", "training", "CrossDConv", "Conv2d", 1.3),
    Bound("ResNet-18 2D, forward / plain", "resnet", "network", "forward", "CrossDResNet-18", "ResNet-18", 1.4),
    Bound("ResNet-18 2D, training step / plain", "resnet", "network", "training", "CrossDResNet-18", "ResNet-18", 1.6),
    Bound(
        "ResNet-18 2D, peak memory / plain", "resnet", "network", "", "CrossDResNet-18", "ResNet-18", 1.3, memory=True
    ),
    Bound("lite0 2D, forward / plain", "lite", "network", "forward", "lite0", "lite0, folded", 1.3),
    Bound("lite0 2D, training step / plain", "lite", "network", "training", "lite0", "lite0, folded", 1.3),
    Bound("lite0 2D, peak memory / plain", "lite", "network", "", "lite0", "lite0, folded", 1.2, memory=True),
    Bound("lite0 3D / MONAI EfficientNet-B0", "views", "network", "", "lite0 3D, folded", "MONAI EfficientNet-B0", 1.0),
    Bound(
        "lite0 3D / projections alone",
        "views",
        "network",
        "",
        "lite0 3D, folded",
        "MultiView, projections",
        10,
        at_least=True,
    ),
    Bound("ResNet-18 3D, folded / MONAI", "volumes", "network", "forward", "folded", "MONAI ResNet-18", 1.02),
    Bound("ResNet-18 3D, eager backend / MONAI", "backends", "backend", "", "eager", "MONAI ResNet-18", 1.02),
    Bound("MONAI / automatic backend", "backends", "backend", "", "MONAI ResNet-18", "torchscript", 1.5, at_least=True),
)


def shape_text(row: Row) -> str:
    """The input's shape, and the layer.

    >>> shape_text(rows("table3")[0])
    '(8, 64, 128, 128) → 512, K 3'
    """
    shape = f"({', '.join(map(str, row.shape))})"
    if row.kind == "layer":
        return f"{shape} → {row.arguments[1]}, K {row.arguments[2]}"
    if row.kind == "backend":
        return f"{shape}, width {row.arguments[2]}"
    if row.kind == "width":
        return f"{shape}, width {row.arguments[1]}"
    if row.kind == "generation":
        return f"kernels {row.arguments[0]} → {row.arguments[1]}, K {row.arguments[2]}, batch {row.shape[0]}"
    return shape


def section_table(section: list[Row], results: Results) -> str:
    """Times and peak memory of rows with the same contestants, as Markdown."""
    names = section[0].contestants
    head = [f"| input | pass | {names[0]} | {' | '.join(names[1:])} |", "|---|---|" + "---|" * len(names)]
    times, peaks = list(head), list(head)
    for row in section:
        if row not in results:
            continue
        result = results[row]
        label = f"| {shape_text(row)} | {row.mode} |"
        times.append(f"{label} {' | '.join(_time_cell(name, row, result) for name in names)} |")
        if row.memory:
            peaks.append(f"{label} {' | '.join(_memory_cell(name, row, result) for name in names)} |")
    parts = ["\n".join(["Time: milliseconds of the first, ratios of the others.", "", *times])]
    if len(peaks) > 2:
        parts.append("\n".join(["Peak memory: MB of the first, ratios of the others.", "", *peaks]))
    return "\n\n".join(parts)


def _time_cell(name: str, row: Row, result: Result) -> str:
    seconds = result.get("seconds", {})
    if name not in seconds:
        return _missing(name, row, result)
    turns = f", n {len(seconds[name])}" if len(seconds[name]) < 5 else ""
    if name == row.contestants[0]:
        return f"{Quartiles.of([1000 * value for value in seconds[name]])}{turns}"
    return f"{Quartiles.of(ratios(seconds)[name])}{turns}"


def _memory_cell(name: str, row: Row, result: Result) -> str:
    if name not in result["memory"]:
        return _missing(name, row, result)
    peak = result["memory"][name]["peak"]
    first = result["memory"].get(row.contestants[0], {}).get("peak")
    return f"{peak / 1e6:.0f} MB" if name == row.contestants[0] or not first else f"{peak / first:.2f}"


def _missing(name: str, row: Row, result: Result) -> str:
    return f"not run: {result['not_run'][name]}" if name in result["not_run"] else "–"


def bounds_table(results: Results) -> str:
    """Every bound in every row that was measured: what was aimed at, what was found; empty where there is none."""
    lines = []
    for bound in BOUNDS:
        for row in bound.rows():
            value = bound.value(results[row]) if row in results else None
            if value is None:
                continue
            reached = value.median >= bound.limit if bound.at_least else value.median <= bound.limit
            sign = "≥" if bound.at_least else "≤"
            shown = f"{value.median:.2f}" if bound.memory else str(value)
            mode = f", {row.mode}" if not bound.mode and bound.kind in ("network", "width") else ""
            lines.append(
                f"| {bound.what} | {shape_text(row)}{mode} | {sign} {bound.limit:g} | {shown} | "
                f"{'yes' if reached else '**no**'} |"
            )
    head = ["| aim | input | bound | measured | reached |", "|---|---|---|---|---|"] if lines else []
    return "\n".join(head + lines)


def blocks(results: Results) -> dict[str, str]:
    """Markdown by the name of its block in the page."""
    made = {}
    for section in SECTIONS:
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in rows(section):
            if row in results:
                key = row.contestants if section != "volumes" else ("volumes", row.mode)
                groups.setdefault(key, []).append(row)
        if groups:
            made[section] = "\n\n".join(section_table(group, results) for group in groups.values())
    bounds = bounds_table(results)
    if bounds:
        made["bounds"] = bounds
    return made


def write_tables(page: str | os.PathLike[str], results: Results) -> None:
    """Write the tables between their marks in `page`, and at its end where it has no such marks; draw the plots."""
    page = Path(page)
    text = page.read_text(encoding="utf-8") if page.exists() else "# Performance\n"
    for name, made in blocks(results).items():
        begin, end = f"<!-- {name}:begin (made by scripts.benchmarks.speed: do not edit) -->", f"<!-- {name}:end -->"
        block = f"{begin}\n{made}\n{end}"
        if begin in text and end in text:
            text = text[: text.index(begin)] + block + text[text.index(end) + len(end) :]
        else:
            text = f"{text.rstrip()}\n\n{block}\n"
    page.write_text(text, encoding="utf-8")
    if any(row in results for row in rows("growth")):
        plot_growth(results.folder / "growth.png", results)
