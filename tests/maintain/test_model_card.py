"""No figure in the documentation is typed: each equals what the metadata and the weights say."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from crossd.data.nifti import write_nifti
from crossd.errors import CrossDError

from scripts.maintain.model_card import card_blocks, update_model_card, voxel_count_auc
from scripts.pages import replace_block


def test_the_tables_are_what_they_are_made_from(root):
    for path, name, text in card_blocks(root):
        assert replace_block(path, name, text) == path.read_text(encoding="utf-8"), (
            f"run python -m scripts.maintain.model_card ({name})"
        )


def test_the_model_exceeds_counting_voxels(root):
    metrics = json.loads((root / "configs" / "metadata.json").read_text())["eval_metrics"]
    assert metrics["auc"]["low"] <= metrics["auc"]["value"] <= metrics["auc"]["high"]
    assert metrics["auc"]["value"] > metrics["voxel_count_auc"]
    assert {"balanced_accuracy", "majority_rate"} <= set(metrics)


@pytest.fixture
def evaluation(tmp_path):
    """Five volumes whose voxel counts order four of the six (healthy, aneurysm) pairs rightly."""
    rows = [("healthy", 1), ("healthy", 4), ("healthy", 2), ("aneurysm", 3), ("aneurysm", 3)]
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "source", "label"])
        for index, (label, count) in enumerate(rows):
            volume = np.zeros((2, 2, 2), dtype=np.uint8)
            volume.reshape(-1)[:count] = 255
            writer.writerow([index, write_nifti(tmp_path / f"{index}.nii.gz", volume), label])
    report = {
        "cases": 5,
        "patients": 5,
        "cases_per_class": {"healthy": 3, "aneurysm": 2},
        "interval": "95 % percentile bootstrap over patients, 1000 draws",
        "majority_rate": 0.6,
        "chance_balanced_accuracy": 0.5,
        "metrics": {"auc": {"value": 0.9, "low": 0.8, "high": 0.95}},
    }
    (tmp_path / "metrics.json").write_text(json.dumps(report))
    return tmp_path


def test_voxel_count_auc_counts_pairs(evaluation):
    assert voxel_count_auc(evaluation / "predictions.csv", "aneurysm") == pytest.approx(4 / 6)


def test_figures_go_into_metadata_and_tables(evaluation, tmp_path):
    repository = tmp_path / "repository"
    for folder, block in (("configs", ""), ("docs", "performance"), ("models", "weights")):
        (repository / folder).mkdir(parents=True)
        page = f"before\n<!-- {block}:begin (made) -->\nold\n<!-- {block}:end -->\nafter\n"
        (repository / folder / "README.md").write_text(page)
    (repository / "configs" / "metadata.json").write_text('{"version": "1", "eval_metrics": {}}')
    (repository / "models" / "model.pt").write_bytes(b"weights")
    update_model_card(repository, evaluation, finding="aneurysm")
    metadata = json.loads((repository / "configs" / "metadata.json").read_text())
    assert metadata["version"] == "1"
    assert metadata["eval_metrics"]["auc"]["low"] == 0.8
    assert metadata["eval_metrics"]["cases_per_class"] == {"healthy": 3, "aneurysm": 2}
    card = (repository / "docs" / "README.md").read_text()
    assert "| AUC | 0.900 | 0.800 to 0.950 |\n" in card
    assert "| AUC of counting voxels | 0.667 | |\n" in card
    assert card.startswith("before\n")
    assert card.endswith("after\n")
    assert "old" not in card
    assert "| `model.pt` | 7 |" in (repository / "models" / "README.md").read_text()


def test_what_is_missing_is_named(evaluation, tmp_path):
    with pytest.raises(CrossDError, match=r"one of the labels in .* \(aneurysm, healthy\), got 'tumour'"):
        voxel_count_auc(evaluation / "predictions.csv", "tumour")
    with pytest.raises(CrossDError, match=r"made from .*metadata\.json, which cannot be read"):
        update_model_card(tmp_path / "nowhere", evaluation, "aneurysm")
    page = tmp_path / "page.md"
    page.write_text("no block")
    with pytest.raises(CrossDError, match=r"holds one block from <!-- performance:begin --> .* found 0"):
        replace_block(page, "performance", "")
    repository = tmp_path / "empty"
    (repository / "configs").mkdir(parents=True)
    (repository / "configs" / "metadata.json").write_text('{"eval_metrics": {}}')
    with pytest.raises(CrossDError, match=r"model\.pt does not exist\. Train them first"):
        card_blocks(repository)
