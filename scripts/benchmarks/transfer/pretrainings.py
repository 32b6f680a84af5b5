"""What the pre-trainings themselves reached, on images they have not seen: the paper's Table I, of ours.

python -m scripts.benchmarks.transfer.pretrainings --output_dir pretrained/plain --name plain
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from crossd.errors import CrossDError, in_one_line

from scripts.benchmarks.runs.records import record, recorded

METRICS = {
    "val_precision": "precision",
    "val_recall": "recall",
    "val_f1": "F1",
    "val_balanced_accuracy": "balanced accuracy",
    "val_accuracy": "accuracy",
}
REMEDY = "Run configs/pretrain_2d.json, and name its --output_dir."
SHOWN = ("conv", "motion", "view", "alignment")  # of the network, where they are not the default


def pretraining_table(path: str | os.PathLike[str]) -> str:
    """A Markdown row for each report of a file: the `metrics.json` that `configs/pretrain_2d.json` wrote.

    Raises:
        CrossDError: for what is no such report.
    """

    def row(name: str, report: dict[str, Any]) -> str:
        network, images = report["network"], report["images"]
        options = [f"width {network['width']}", *(str(network[key]) for key in SHOWN if key in network)]
        options += [f"max_angle {network['max_angle']:.3f}"] if "max_angle" in network else []
        figures = [f"{report['metrics'][metric]:.3f}" for metric in METRICS]
        cells = [name, ", ".join(options), f"{images['train']} ({images['val']})"]
        return f"| {' | '.join([*cells, str(len(report['classes'])), str(report['epochs']), *figures])} |"

    rows = recorded(path, row, "metrics.json of a 2D pre-training", REMEDY)
    head = [
        f"| pre-training | network | images (validation) | classes | epochs | {' | '.join(METRICS.values())} |",
        f"|---|---|---|---|---|{'---|' * len(METRICS)}",
    ]
    return "\n".join([*head, *rows]) if rows else "not run"


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True, help="of the run of configs/pretrain_2d.json")
    parser.add_argument("--name", required=True, help="of the row")
    parser.add_argument("--records", default="docs/results/pretraining.jsonl.gz", help="default: %(default)s")
    arguments = parser.parse_args()
    report = arguments.output_dir / "metrics.json"
    if not report.is_file():
        raise CrossDError(f"A pre-training is recorded with its report; {report} is not there. {REMEDY}")
    record(arguments.records, arguments.name, json.loads(report.read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
