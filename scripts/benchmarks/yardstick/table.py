"""The tables and the figure of the yardstick, from its lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmarks.yardstick.arms import ARMS
from scripts.benchmarks.yardstick.contrasts import CONTRASTS, Runs, auc, contrasts, runs_of
from scripts.benchmarks.yardstick.tasks import TASKS

OURS = ("crossd-volume", "crossd-live", "multiview")


def tables(lines: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: arms by tasks at few labels, on unused and on test cases, and at all labels; then the contrasts."""
    text = []
    for labels, part in (("few", "unused"), ("few", "test"), ("all", "test")):
        runs = runs_of(lines, labels, part)
        if runs:
            text += [f"AUC with {labels} labels, {part} cases:", "", *_arms(runs), ""]
    return "\n".join([*text, *_contrasts(lines)])


def short(lines: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: arms by tasks at few labels on unused cases, and the contrasts."""
    return "\n".join([*_arms(runs_of(lines, "few", "unused")), "", *_contrasts(lines)])


def _contrasts(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    text = ["| contrast | task | difference (95 %) | p | p, Holm |", "|---|---|---|---|---|"]
    for name, by_task in contrasts(runs_of(lines, "few", "unused")).items():
        what = " − ".join(CONTRASTS[name])
        text += [f"| {name}: {what} | {task} | {difference.cells()} |" for task, difference in by_task.items()]
    return text


def _arms(runs: Runs) -> list[str]:
    tasks = [task for task in TASKS if task in runs]
    rows = [f"| arm | {' | '.join(tasks)} |", "|---" * (len(tasks) + 1) + "|"]
    for arm in _measured(runs):
        cells = [_cell([auc(one) for one in runs[task].get(arm, {}).values()]) for task in tasks]
        rows.append(f"| {arm} | {' | '.join(cells)} |")
    return rows


def _measured(runs: Runs) -> list[str]:
    """Arms that were run on a task at least."""
    return [arm for arm in ARMS if any(arm in arms for arms in runs.values())]


def _cell(values: Sequence[float]) -> str:
    """Mean ± standard deviation over draws.

    >>> _cell([0.5, 0.7]), _cell([0.5]), _cell([])
    ('0.600 ± 0.141', '0.500', '–')
    """
    if not values:
        return "–"
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def figure(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Arms × tasks at few labels on unused cases: the mean over draws, and the range of the draws."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    runs = runs_of(lines, "few", "unused")
    tasks, measured = [task for task in TASKS if task in runs], _measured(runs)
    drawing, axes = plt.subplots(1, len(tasks), figsize=(2.6 * len(tasks) + 1.2, 3.2), sharey=True, squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        for row, arm in enumerate(measured):
            values = [auc(one) for one in runs[task].get(arm, {}).values()]
            if values:
                axis.plot([min(values), max(values)], [row, row], color="0.7", linewidth=3)
                axis.plot(np.mean(values), row, "o", color="tab:red" if arm in OURS else "k")
        axis.set_title(task, fontsize=9)
        axis.set_xlabel("AUC")
        axis.grid(axis="x", alpha=0.3)
    axes[0][0].set_yticks(range(len(measured)), measured)
    axes[0][0].invert_yaxis()
    drawing.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, dpi=110)
    plt.close(drawing)
