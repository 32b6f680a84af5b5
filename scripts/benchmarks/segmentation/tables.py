"""The tables of the segmentation benchmark: made of the stored runs alone. A cell without runs says "not run"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossd.benchmark.segmentation.methods import METHODS
from crossd.benchmark.segmentation.statistics import paired_dice
from crossd.benchmark.segmentation.store import MaskResults, TestedMasks
from crossd.benchmark.transfer.grid import Block, Cell
from crossd.benchmark.transfer.statistics import Difference, with_correction

NOT_RUN = "not run"
REFERENCE = "crossd-scratch"
# beside each method against the reference: what the project set out to show, and the networks against each other
COMPARISONS = (
    ("ssl-joint", "ssl-3d"),
    ("ssl-joint", "ssl-2d"),
    ("crossd-2d-axes", "crossd-2d-shift"),
    ("crossd-2d-axes", "unet"),
    ("crossd-2d-axes", "segresnet"),
    ("ssl-joint", "unet"),
    ("ssl-joint", "segresnet"),
)


def blocks_of(results: MaskResults, cell: Cell, methods: Sequence[str]) -> list[Block]:
    """The blocks of a cell in which all of these methods ran, by seed."""
    every = results.runs()
    found = {block for block, _ in every if block.cell == cell}
    return sorted(block for block in found if all((block, name) in every for name in methods))


def differences(
    results: MaskResults, cell: Cell, pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Difference]:
    """Of mean Dice, first minus second, for the pairs that share seeds; Holm's correction is over these."""
    found = {}
    for one, other in pairs:
        shared = blocks_of(results, cell, [one, other]) if one != other else []
        if shared:
            ours, theirs = ([results.read_cases(block, name) for block in shared] for name in (one, other))
            found[one, other] = paired_dice(ours, theirs)
    return with_correction(found, found)


def cell_table(results: MaskResults, cell: Cell, methods: Sequence[str]) -> str:
    """One table: a method a row, with its difference from the reference."""
    gaps = differences(results, cell, [(name, REFERENCE) for name in methods])
    lines = [
        f"| {cell.set}, {cell.fraction:.0%} of the label maps | Dice | anterior | posterior | surface distance, mm | "
        f"95 % Hausdorff, mm | parameters | seeds | Dice minus that of {REFERENCE} | p | p, Holm |",
        "|---|" + "---|" * 10,
    ]
    for name in methods:
        blocks = blocks_of(results, cell, [name])
        label = f"{name}: {METHODS[name].about}"
        if not blocks:
            lines.append(f"| {label} | {NOT_RUN} |" + " – |" * 5 + " 0 |" + " – |" * 3)
            continue
        runs = [results.read_cases(block, name) for block in blocks]
        dice = _spread([float(run.dice.mean()) for run in runs])
        parts = [_spread([_mean(run, "dice", index) for run in runs]) for index in range(len(runs[0].classes))]
        distances = [
            _spread([_mean(run, metric) for run in runs], 2) for metric in ("surface_distance", "hausdorff_95")
        ]
        parameters = f"{results.read(blocks[0], name)['parameters']:,}"
        cells = [dice, *parts, *distances, parameters, str(len(blocks)), _gap(gaps.get((name, REFERENCE)))]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def comparison_table(results: MaskResults, cells: Sequence[Cell], methods: Sequence[str]) -> str:
    """The pairs of `COMPARISONS` whose methods are in the tables."""
    pairs = [pair for pair in COMPARISONS if set(pair) <= set(methods)]
    lines = ["| Dice of one minus the other | label maps | difference | p | p, Holm |", "|---|---|---|---|---|"]
    for cell in cells:
        found = differences(results, cell, pairs)
        for one, other in pairs:
            shown = _gap(found.get((one, other)))
            lines.append(f"| {one} − {other} | {cell.fraction:.0%} | {shown} |")
    return "\n".join(lines)


def validation_table(results: MaskResults, methods: Sequence[str]) -> str:
    """Mean validation Dice by method and cell: what a learning rate may be chosen by."""
    every = results.runs()
    cells = sorted({block.cell for block, _ in every})
    lines = [f"| validation Dice | {' | '.join(map(str, cells))} |", "|---|" + "---|" * len(cells)]
    for name in methods:
        row = []
        for cell in cells:
            values = [results.read(block, name)["val"]["dice"] for block in blocks_of(results, cell, [name])]
            row.append(f"{np.mean(values):.4f} (n {len(values)})" if values else NOT_RUN)
        lines.append(f"| {name} | {' | '.join(row)} |")
    return "\n".join(lines)


def _mean(run: TestedMasks, metric: str, index: int | None = None) -> float:
    """Over the cases, and the classes unless one is meant, in which it is defined."""
    values = run.values[metric] if index is None else run.values[metric][:, index]
    return float("nan") if np.isnan(values).all() else float(np.nanmean(values))


def _spread(values: Sequence[float], digits: int = 3) -> str:
    mean = float(np.mean(values))
    if mean != mean:
        return "–"
    return f"{mean:.{digits}f}" if len(values) == 1 else f"{mean:.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def _gap(gap: Difference | None) -> str:
    return "– | – | –" if gap is None else gap.cells()
