"""Carry the figures of an evaluation into the files that quote them, so that no number is typed by hand.

python -m scripts.maintain.model_card --evaluation_dir output --finding aneurysm

`configs/metadata.json` holds them (`eval_metrics`); the tables in `docs/README.md` and `models/README.md` are made from
it and from `models/model.pt`, between `<!-- NAME:begin … -->` and `<!-- NAME:end -->`. A test keeps all of them equal.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from crossd.errors import CrossDError, in_one_line
from crossd.evaluation.metrics import class_aucs
from crossd.files import sha256

from scripts.pages import update_page

_TITLES = {
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "calibration_error": "calibration error",
    "brier": "Brier score",
    "majority_rate": "accuracy of always giving the commonest class",
    "chance_balanced_accuracy": "balanced accuracy of chance",
    "voxel_count_auc": "AUC of counting voxels",
}


def update_model_card(repository: str | os.PathLike[str], evaluation_dir: str | os.PathLike[str], finding: str) -> None:
    """Write the figures of an evaluation into the repository.

    Args:
        repository: its root; `configs/metadata.json`, `docs/README.md` and `models/README.md` are rewritten.
        evaluation_dir: what `configs/evaluate.json` wrote: `metrics.json` and `predictions.csv`.
        finding: the class whose AUC by voxel count is quoted beside that of the model.

    Raises:
        CrossDError: a file or a marked block is missing, or `finding` is no class.
    """
    repository, evaluation_dir = Path(repository), Path(evaluation_dir)
    metadata_file = repository / "configs" / "metadata.json"
    metadata, report = (json.loads(_read(path)) for path in (metadata_file, evaluation_dir / "metrics.json"))
    kept = ("cases", "patients", "cases_per_class", "interval", "majority_rate", "chance_balanced_accuracy")
    metadata["eval_metrics"] = {
        **report["metrics"],
        **{name: report[name] for name in kept},
        "voxel_count_auc": voxel_count_auc(evaluation_dir / "predictions.csv", finding),
    }
    metadata_file.write_text(json.dumps(metadata, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
    for path, name, text in card_blocks(repository):
        update_page(path, name, text)


def card_blocks(repository: str | os.PathLike[str]) -> list[tuple[Path, str, str]]:
    """File, name and due content of every block that is made from other files."""
    repository = Path(repository)
    metadata = json.loads(_read(repository / "configs" / "metadata.json"))
    weights = repository / "models" / "model.pt"
    return [
        (repository / "docs" / "README.md", "performance", performance_table(metadata["eval_metrics"])),
        (repository / "models" / "README.md", "weights", weights_table(weights)),
    ]


def performance_table(metrics: dict[str, Any]) -> str:
    """The figures as a Markdown table.

    Args:
        metrics: by name a number, or `{"value", "low", "high"}`; other entries are not figures and are left out.

    >>> print(performance_table({"auc": {"value": 0.9, "low": 0.85, "high": 0.94}, "majority_rate": 0.887, "cases": 9}))
    | figure | value | 95 % interval |
    |---|---|---|
    | AUC | 0.900 | 0.850 to 0.940 |
    | accuracy of always giving the commonest class | 0.887 | |
    """
    rows = []
    for name, entry in metrics.items():
        value, low, high = (
            [entry.get(key) for key in ("value", "low", "high")] if isinstance(entry, dict) else (entry,) * 3
        )
        known = name in _TITLES or name.startswith(("auc_", "sensitivity_", "specificity_"))
        if not known or not isinstance(value, float):
            continue
        interval = f" {low:.3f} to {high:.3f} |" if isinstance(entry, dict) and low is not None else " |"
        rows.append(f"| {_TITLES.get(name, name.replace('_', ', ', 1))} | {value:.3f} |{interval}")
    return "\n".join(["| figure | value | 95 % interval |", "|---|---|---|", *rows])


def weights_table(path: Path) -> str:
    """File name, size and SHA-256 of a weights file as a Markdown table."""
    if not path.is_file():
        raise CrossDError(f"The shipped weights are described, and {path} does not exist. Train them first.")
    size = f"{path.stat().st_size:,}".replace(",", " ")
    row = f"| `{path.name}` | {size} | `{sha256(path)}` |"
    return f"| file | bytes | SHA-256 |\n|---|---|---|\n{row}"


def voxel_count_auc(predictions: Path, finding: str) -> float:
    """How well the number of non-zero voxels alone tells `finding` from the rest: what a model has to exceed.

    Args:
        predictions: the `predictions.csv` of an evaluation; its column `source` names NIfTI files.
        finding: a class in the column `label`.
    """
    import nibabel

    with predictions.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if finding not in {row["label"] for row in rows}:
        raise CrossDError(
            f"The finding is one of the labels in {predictions} ({', '.join(sorted({row['label'] for row in rows}))}), "
            f"got {finding!r}. Choose one of them."
        )
    images: list[Any] = [nibabel.load(row["source"]) for row in rows]
    counts = [np.count_nonzero(np.asanyarray(image.dataobj)) for image in images]
    targets = torch.tensor([[row["label"] == finding] for row in rows]).long()
    return class_aucs(torch.tensor(counts, dtype=torch.float64)[:, None], targets)[0]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CrossDError(f"The model card is made from {path}, which cannot be read: {error}.") from error


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluation_dir", required=True, help="what configs/evaluate.json wrote")
    parser.add_argument("--finding", required=True, help="the class whose AUC by voxel count is quoted beside")
    arguments = parser.parse_args()
    update_model_card(Path(__file__).resolve().parents[2], arguments.evaluation_dir, arguments.finding)
    return 0


if __name__ == "__main__":
    sys.exit(main())
