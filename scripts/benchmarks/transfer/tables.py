"""The tables: made of the stored runs alone. A cell without runs says "not run"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from crossd.evaluation import Predictions, classification_metrics, majority_rate

from scripts.benchmarks.runs.grid import PAPER, Block, Cell
from scripts.benchmarks.runs.statistics import Difference, with_correction
from scripts.benchmarks.runs.tables import NOT_RUN, Pair, comparison_table, paired
from scripts.benchmarks.transfer.methods import METHODS
from scripts.benchmarks.transfer.statistics import paired_difference, weighted_aucs
from scripts.benchmarks.transfer.store import Recommendation, Results
from scripts.benchmarks.transfer.tested import Tested

METRICS = ("auc", "balanced_accuracy", "accuracy")
COMPARISONS = (  # beside those with the recommended variant: hybrid training, and what it is to be told from
    ("hybrid", "scratch"),
    ("hybrid", "running"),
    ("hybrid-running", "running"),
    ("hybrid-axes-projection", "scratch"),
    ("hybrid-axes-projection", "axes-projection"),
)
COLUMNS = {"cell": lambda cell, gap: str(cell), "seeds": lambda cell, gap: str(gap.runs)}
PROTOCOL_NAMES = {
    "probe": "weak probing (head and norms)",
    "full": "full fine-tuning",
    PAPER: "the paper's protocol, 3 trials × 5 folds",
}


@dataclass(frozen=True)
class Summary:
    """Of the runs of a method on a cell: mean and sample standard deviation over seeds, by metric, and which seeds."""

    values: dict[str, tuple[float, float]]
    seeds: tuple[int, ...]


def metrics_of(tested: Tested) -> dict[str, float]:
    """AUC, balanced accuracy and accuracy of a run."""
    targets = torch.nn.functional.one_hot(torch.from_numpy(tested.labels), tested.logits.shape[1])
    names = [str(index) for index in range(targets.shape[1])]
    every = classification_metrics(Predictions.of(torch.from_numpy(tested.probabilities), targets, names, "multiclass"))
    auc = float(weighted_aucs(tested, np.ones((1, len(tested.labels))))[0])  # of the logits: probabilities have ties
    return {**{name: every[name] for name in METRICS}, "auc": auc}


def summarise(results: Results, blocks: Iterable[Block], method: str, chosen: Recommendation) -> Summary:
    """Test metrics of a method over blocks."""
    blocks = list(blocks)
    rows = [metrics_of(results.read_test(block, method, chosen)) for block in blocks]
    spread = {
        name: (float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"))
        for name in METRICS
        if (values := [row[name] for row in rows])
    }
    return Summary(spread, tuple(block.seed for block in blocks))


def differences(results: Results, cell: Cell, methods: Sequence[str], chosen: Recommendation) -> dict[str, Difference]:
    """The recommended variant against every other method on a cell; Holm's correction is over the baselines.

    Each pair is compared on the seeds that both have. Methods that are no baselines of the recommended variant, further
    variants of our own, keep `corrected` None.
    """
    pairs = [(chosen.method, name) for name in methods]
    found = {name: gap for (_, name), gap in _paired(results, cell, pairs, chosen).items()}
    return with_correction(found, {name for name in found if METHODS[name].baseline})


def _paired(results: Results, cell: Cell, pairs: Sequence[Pair], chosen: Recommendation) -> dict[Pair, Difference]:
    return paired(results, cell, pairs, lambda block, name: results.read_test(block, name, chosen), paired_difference)


def cell_table(results: Results, cell: Cell, methods: Sequence[str], chosen: Recommendation) -> str:
    """One table: a method a row, the recommended one in bold."""
    every = results.runs()
    gaps = differences(results, cell, methods, chosen)
    rates: list[float] = []
    lines = [
        f"| {cell.set}, {PROTOCOL_NAMES[cell.protocol]}, {cell.fraction:.0%} labels | test AUC | balanced accuracy | "
        "accuracy | seeds | AUC of the recommended one minus this | p | p, Holm |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in methods:
        label = f"**{name}**: {METHODS[name].about}" if name == chosen.method else f"{name}: {METHODS[name].about}"
        blocks = sorted(block for block, method in every if block.cell == cell and method == name)
        if not blocks:
            lines.append(f"| {label} | {' | '.join([NOT_RUN] * 3)} | 0 | – | – | – |")
            continue
        found = summarise(results, blocks, name, chosen)
        rates = [_majority(results.read_test(block, name, chosen)) for block in blocks]  # of folds, each has its own
        scores = " | ".join(_spread(*found.values[metric]) for metric in METRICS)
        gap = gaps[name].cells() if name in gaps else "– | – | –"
        lines.append(f"| {label} | {scores} | {len(blocks)} | {gap} |")
    if rates:
        chance = _chance(results, cell, methods, chosen)
        lines.append(f"| always the majority | 0.500 | {chance} | {np.mean(rates):.3f} | | | | |")
    return "\n".join(lines)


def comparisons(results: Results, cells: Sequence[Cell], methods: Sequence[str], chosen: Recommendation) -> str:
    """The pairs of `COMPARISONS` whose methods are in the tables, where both ran; empty when there are none.

    Holm's correction is over the pairs of a cell.
    """
    pairs = [pair for pair in COMPARISONS if set(pair) <= set(methods)]
    gaps = {cell: _paired(results, cell, pairs, chosen) for cell in cells}
    corrected = {cell: with_correction(found, found) for cell, found in gaps.items()}
    return comparison_table("test AUC", COLUMNS, corrected) if any(gaps.values()) else ""


def all_tables(results: Results, cells: Sequence[Cell], methods: Sequence[str], chosen: Recommendation) -> str:
    """How the variant was fixed, then a table for each cell."""
    listed = ", ".join(f"{name} {value:.4f}" for name, value in chosen.validation.items())
    when = (
        f"chosen anew by validation AUC, when test figures could be read since the choice of {chosen.earlier[-1]}"
        if chosen.earlier
        else "fixed by validation AUC before any test figure was computed"
    )
    head = (
        f"Recommended variant: **{chosen.method}**, {when} (mean over {chosen.runs} runs each: {listed})."
        if len(chosen.validation) > 1
        else f"The differences are those of **{chosen.method}**, the only candidate; nothing was chosen."
    )
    tables = [cell_table(results, cell, methods, chosen) for cell in cells]
    return "\n\n".join(filter(None, [head, *tables, comparisons(results, cells, methods, chosen)]))


def _majority(tested: Tested) -> float:
    targets = torch.nn.functional.one_hot(torch.from_numpy(tested.labels), tested.logits.shape[1])
    return majority_rate(targets, "multiclass")


def _chance(results: Results, cell: Cell, methods: Sequence[str], chosen: Recommendation) -> str:
    block, method = min(run for run in results.runs() if run[0].cell == cell and run[1] in methods)
    return f"{1 / results.read_test(block, method, chosen).logits.shape[1]:.3f}"


def _spread(mean: float, deviation: float) -> str:
    return f"{mean:.3f}" if deviation != deviation else f"{mean:.3f} ± {deviation:.3f}"
