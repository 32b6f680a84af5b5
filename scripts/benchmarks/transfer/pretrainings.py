"""What the pre-trainings themselves reached, on images they have not seen: the paper's Table I, of ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from crossd.benchmark.transfer.records import read_reports

METRICS = {
    "val_precision": "precision",
    "val_recall": "recall",
    "val_f1": "F1",
    "val_balanced_accuracy": "balanced accuracy",
    "val_accuracy": "accuracy",
}
SHOWN = ("conv", "motion", "view", "alignment")  # of the network, where they are not the default


def pretraining_table(folder: str | os.PathLike[str]) -> str:
    """A Markdown row for each `<name>.json` in a folder: the `metrics.json` that `configs/pretrain_2d.json` wrote.

    Raises:
        CrossDError: for a file that is no such report.
    """

    def row(file: Path, report: dict[str, Any]) -> str:
        network, images = report["network"], report["images"]
        options = [f"width {network['width']}", *(str(network[key]) for key in SHOWN if key in network)]
        options += [f"max_angle {network['max_angle']:.3f}"] if "max_angle" in network else []
        figures = [f"{report['metrics'][metric]:.3f}" for metric in METRICS]
        cells = [file.stem, ", ".join(options), f"{images['train']} ({images['val']})"]
        return f"| {' | '.join([*cells, str(len(report['classes'])), str(report['epochs']), *figures])} |"

    remedy = "Copy the one that configs/pretrain_2d.json wrote to its output_dir."
    rows = read_reports(folder, row, "metrics.json of a 2D pre-training", remedy)
    head = [
        f"| pre-training | network | images (validation) | classes | epochs | {' | '.join(METRICS.values())} |",
        f"|---|---|---|---|---|{'---|' * len(METRICS)}",
    ]
    return "\n".join([*head, *rows]) if rows else "not run"
