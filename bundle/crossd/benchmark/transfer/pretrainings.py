"""What the pre-trainings themselves reached, on images they have not seen: the paper's Table I, of ours."""

from __future__ import annotations

import json
import os
from pathlib import Path

from crossd.errors import CrossDError

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
    files = sorted(Path(folder).glob("*.json"))
    if not files:
        return "not run"
    lines = [
        f"| pre-training | network | images (validation) | classes | epochs | {' | '.join(METRICS.values())} |",
        f"|---|---|---|---|---|{'---|' * len(METRICS)}",
    ]
    for file in files:
        try:
            report = json.loads(file.read_text(encoding="utf-8"))
            network, images = report["network"], report["images"]
            options = [f"width {network['width']}", *(str(network[key]) for key in SHOWN if key in network)]
            options += [f"max_angle {network['max_angle']:.3f}"] if "max_angle" in network else []
            figures = [f"{report['metrics'][metric]:.3f}" for metric in METRICS]
            cells = [file.stem, ", ".join(options), f"{images['train']} ({images['val']})"]
            lines.append(f"| {' | '.join([*cells, str(len(report['classes'])), str(report['epochs']), *figures])} |")
        except (ValueError, KeyError, TypeError) as error:
            raise CrossDError(
                f"{file} is no metrics.json of a 2D pre-training ({type(error).__name__}: {error}). Copy the one that "
                "configs/pretrain_2d.json wrote to its output_dir."
            ) from error
    return "\n".join(lines)
