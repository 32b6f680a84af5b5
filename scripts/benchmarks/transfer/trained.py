"""Models of full size, one run each: what their evaluation said, and the file, which is too large to be shipped.

python -m scripts.benchmarks.transfer.trained --output_dir output/vessel --name vesselmnist3d_28
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from crossd.checkpoints import read_card
from crossd.errors import CrossDError, in_one_line
from crossd.files import sha256

from scripts.benchmarks.runs.records import record, recorded
from scripts.benchmarks.transfer.published import OFFICIAL_AUC

SHOWN = ("auc", "balanced_accuracy", "accuracy")
PATHS = ("weights", "labels")  # of the machine that evaluated


def record_trained(output_dir: str | os.PathLike[str], records: str | os.PathLike[str], name: str) -> dict[str, Any]:
    """Record a run of `configs/train.json` that `configs/evaluate.json` has tested.

    Args:
        output_dir: of the run: `model.pt`, `datalist.csv`, and `evaluation/metrics.json`.
        records: the file of records.
        name: `<set>_<voxels a side>`.

    Returns:
        `model` (bytes, sha256, network, input, pre-training it says it had), and the evaluation's report.

    Raises:
        CrossDError: when the run was not trained or not tested.
    """
    folder = Path(output_dir)
    weights, report = folder / "model.pt", folder / "evaluation" / "metrics.json"
    for needed in (weights, report):
        if not needed.is_file():
            raise CrossDError(
                f"A trained model is recorded with its evaluation, and {needed} is not there. Run configs/train.json, "
                "then configs/evaluate.json over it, with the same --output_dir."
            )
    card = read_card(weights)
    made = {
        "model": {
            "bytes": weights.stat().st_size,
            "sha256": sha256(weights),
            "network": card["network"],
            "input": card["input"],
            "validation": card["metrics"],
        },
        **{name: value for name, value in json.loads(report.read_text(encoding="utf-8")).items() if name not in PATHS},
    }
    record(records, name, made)
    return made


def trained_table(records: str | os.PathLike[str]) -> str:
    """A Markdown row for each record, and what `large_files.yml` needs to know of the models' files.

    Raises:
        CrossDError: for a record that `record_trained` did not write.
    """

    def rows(record_name: str, report: dict[str, Any]) -> tuple[str, str]:
        model, metrics = report["model"], report["metrics"]
        name, _, size = record_name.rpartition("_")
        best = f"{OFFICIAL_AUC[name][2]:.3f}" if name in OFFICIAL_AUC else "–"
        figures = [f"{m['value']:.3f} ({m['low']:.3f} to {m['high']:.3f})" for m in (metrics[key] for key in SHOWN)]
        network = f"ResNet-{model['network']['depth']}, width {model['network']['width']}"
        seen = model["validation"]
        cells = [f"{name}, {size}³", network, str(seen["epoch"]), f"{seen['val_auc']:.3f}", *figures]
        place = f"| {record_name}.pt | {model['bytes']} | `{model['sha256']}` |"
        majority = f"{report['majority_rate']:.3f}"
        return f"| {' | '.join([*cells, majority, best])} |", place

    remedy = "Write it with python -m scripts.benchmarks.transfer.trained."
    made = recorded(records, rows, "record of a trained model", remedy)
    head = [
        "| set | network | epochs | validation AUC | test AUC (95 %) | balanced accuracy (95 %) | accuracy (95 %) | "
        "always the majority | best public AUC, 28³ |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    files = ["", "| file | bytes | SHA-256 |", "|---|---|---|"]
    lines = [*head, *(row for row, _ in made), *files, *(place for _, place in made)]
    return "\n".join(lines) if made else "not run"


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True, help="of the run, with its evaluation in it")
    parser.add_argument("--name", required=True, help="of the record: <set>_<voxels a side>")
    parser.add_argument("--records", default="docs/results/full.jsonl.gz", help="default: %(default)s")
    arguments = parser.parse_args()
    made = record_trained(arguments.output_dir, arguments.records, arguments.name)
    print(f"{arguments.name}: AUC {made['metrics']['auc']['value']:.3f}, {made['model']['bytes']} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
