"""Models of full size, one run each: what their evaluation said, and the file, which is too large to be shipped."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from crossd.benchmark.transfer.published import OFFICIAL_AUC
from crossd.benchmark.transfer.records import read_reports
from crossd.checkpoints import read_card
from crossd.errors import CrossDError

SHOWN = ("auc", "balanced_accuracy", "accuracy")
PATHS = ("weights", "labels")  # of the machine that evaluated


def record_trained(output_dir: str | os.PathLike[str], path: str | os.PathLike[str]) -> dict[str, Any]:
    """Write a JSON file of a run of `configs/train.json` that `configs/evaluate.json` has tested.

    Args:
        output_dir: of the run: `model.pt`, `datalist.csv`, and `evaluation/metrics.json`.
        path: `<set>_<voxels a side>.json`.

    Returns:
        `model` (bytes, sha256, network, input, pre-training it says it had), and the evaluation's report.

    Raises:
        CrossDError: when the run was not trained or not tested.
    """
    folder, path = Path(output_dir), Path(path)
    weights, report = folder / "model.pt", folder / "evaluation" / "metrics.json"
    for needed in (weights, report):
        if not needed.is_file():
            raise CrossDError(
                f"A trained model is recorded with its evaluation, and {needed} is not there. Run configs/train.json, "
                "then configs/evaluate.json over it, with the same --output_dir."
            )
    card, content = read_card(weights), weights.read_bytes()
    recorded = {
        "model": {
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "network": card["network"],
            "input": card["input"],
            "validation": card["metrics"],
        },
        **{name: value for name, value in json.loads(report.read_text(encoding="utf-8")).items() if name not in PATHS},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(recorded, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return recorded


def trained_table(folder: str | os.PathLike[str]) -> str:
    """A Markdown row for each `<set>_<voxels>.json` in a folder, and what `large_files.yml` needs to know of the files.

    Raises:
        CrossDError: for a file that `record_trained` did not write.
    """

    def rows(file: Path, report: dict[str, Any]) -> tuple[str, str]:
        model, metrics = report["model"], report["metrics"]
        name, _, size = file.stem.rpartition("_")
        best = f"{OFFICIAL_AUC[name][2]:.3f}" if name in OFFICIAL_AUC else "–"
        figures = [f"{m['value']:.3f} ({m['low']:.3f} to {m['high']:.3f})" for m in (metrics[key] for key in SHOWN)]
        network = f"ResNet-{model['network']['depth']}, width {model['network']['width']}"
        seen = model["validation"]
        cells = [f"{name}, {size}³", network, str(seen["epoch"]), f"{seen['val_auc']:.3f}", *figures]
        place = f"| {file.stem}.pt | {model['bytes']} | `{model['sha256']}` |"
        majority = f"{report['majority_rate']:.3f}"
        return f"| {' | '.join([*cells, majority, best])} |", place

    remedy = "Write it with scripts/record_trained_model.py."
    made = read_reports(folder, rows, "record of a trained model", remedy)
    head = [
        "| set | network | epochs | validation AUC | test AUC (95 %) | balanced accuracy (95 %) | accuracy (95 %) | "
        "always the majority | best public AUC, 28³ |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    files = ["", "| file | bytes | SHA-256 |", "|---|---|---|"]
    lines = [*head, *(row for row, _ in made), *files, *(place for _, place in made)]
    return "\n".join(lines) if made else "not run"
