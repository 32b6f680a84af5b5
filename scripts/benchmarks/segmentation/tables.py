"""The tables of the segmentation benchmark: made of the stored runs alone. A cell without runs says "not run"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scripts.benchmarks.runs.grid import Cell
from scripts.benchmarks.runs.statistics import Difference, with_correction
from scripts.benchmarks.runs.tables import NOT_RUN, Pair, comparison_table, gap_cells, paired, shared_blocks
from scripts.benchmarks.segmentation.methods import METHODS
from scripts.benchmarks.segmentation.statistics import paired_dice
from scripts.benchmarks.segmentation.store import Results, Tested

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
# Dice of (anterior, posterior) on the challenge's test set, as recalled: the papers' tables were not at hand
NNUNET_TEST: dict[str, tuple[str, str]] = {
    "nnU-Net, the challenge's winner: ensembles of five folds, a thousand epochs on a GPU": ("0.90", "0.89"),
}
SOURCES = (
    "Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 2022; Isensee et al., nnU-Net, Nature "
    "Methods 2021"
)


def differences(results: Results, cell: Cell, pairs: Sequence[Pair]) -> dict[Pair, Difference]:
    """Of mean Dice, first minus second, for the pairs that share seeds; Holm's correction is over these."""
    found = paired(results, cell, pairs, results.read_test, paired_dice)
    return with_correction(found, found)


def cell_table(results: Results, cell: Cell, methods: Sequence[str]) -> str:
    """One table: a method a row, with its difference from the reference."""
    gaps = differences(results, cell, [(name, REFERENCE) for name in methods])
    lines = [
        f"| {cell.set}, {cell.fraction:.0%} of the label maps | Dice | anterior | posterior | surface distance, mm | "
        f"95 % Hausdorff, mm | parameters | seeds | Dice minus that of {REFERENCE} | p | p, Holm |",
        "|---|" + "---|" * 10,
    ]
    for name in methods:
        blocks = shared_blocks(results, cell, [name])
        label = f"{name}: {METHODS[name].about}"
        if not blocks:
            lines.append(f"| {label} | {NOT_RUN} |" + " – |" * 5 + " 0 |" + " – |" * 3)
            continue
        runs = [results.read_test(block, name) for block in blocks]
        dice = _spread([float(run.dice.mean()) for run in runs])
        parts = [_spread([_mean(run, "dice", index) for run in runs]) for index in range(len(runs[0].classes))]
        distances = [
            _spread([_mean(run, metric) for run in runs], 2) for metric in ("surface_distance", "hausdorff_95")
        ]
        parameters = f"{results.read(blocks[0], name)['parameters']:,}"
        cells = [dice, *parts, *distances, parameters, str(len(blocks)), gap_cells(gaps.get((name, REFERENCE)))]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def comparisons(results: Results, cells: Sequence[Cell], methods: Sequence[str]) -> str:
    """The pairs of `COMPARISONS` whose methods are in the tables."""
    pairs = [pair for pair in COMPARISONS if set(pair) <= set(methods)]
    gaps = {cell: differences(results, cell, pairs) for cell in cells}
    every = {cell: {pair: found.get(pair) for pair in pairs} for cell, found in gaps.items()}
    return comparison_table("Dice", {"label maps": lambda cell, gap: f"{cell.fraction:.0%}"}, every)


def published_table() -> str:
    """What others report. They trained on all 260 volumes and were tested on 130 that nobody has labels of."""
    lines = [
        f"Published on Task04's test set, by others, at another scale ({SOURCES}). Recalled, "
        "not checked against the papers:",
        "",
        "| network | Dice, anterior | Dice, posterior |",
        "|---|---|---|",
    ]
    return "\n".join([*lines, *(f"| {name} | {one} | {two} |" for name, (one, two) in NNUNET_TEST.items())])


def _mean(run: Tested, metric: str, index: int | None = None) -> float:
    """Over the cases, and the classes unless one is meant, in which it is defined."""
    values = run.values[metric] if index is None else run.values[metric][:, index]
    return float("nan") if np.isnan(values).all() else float(np.nanmean(values))


def _spread(values: Sequence[float], digits: int = 3) -> str:
    mean = float(np.mean(values))
    if mean != mean:
        return "–"
    return f"{mean:.{digits}f}" if len(values) == 1 else f"{mean:.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"
