"""The table of models of full size is made of what their evaluations wrote."""

from __future__ import annotations

import hashlib
import json

import pytest
from crossd.cards.from_weights import FROM_SCRATCH
from crossd.checkpoints import save_checkpoint
from crossd.errors import CrossDError
from crossd.networks import CrossDResNet
from crossd.training import model_card

from scripts.benchmarks.runs.lines import read_lines
from scripts.benchmarks.runs.records import record
from scripts.benchmarks.transfer.trained import record_trained, trained_table

REPORT = {
    "weights": "/home/somebody/model.pt",
    "majority_rate": 0.887,
    "metrics": {
        name: {"value": value, "low": value - 0.05, "high": value + 0.05}
        for name, value in {"auc": 0.9, "balanced_accuracy": 0.8, "accuracy": 0.85}.items()
    },
}


@pytest.fixture
def run(tmp_path):
    """The folder of a trained model without its evaluation."""
    network = {"depth": 10, "width": 4}
    card = model_card("multiclass", ["healthy", "aneurysm"], network, FROM_SCRATCH["input"])
    save_checkpoint(
        tmp_path / "run" / "model.pt",
        CrossDResNet(3, 1, 2, **network),
        {**card, "metrics": {"val_auc": 0.91, "epoch": 7}},
    )
    return tmp_path / "run"


def test_a_row_and_a_file_for_each_record(run, tmp_path):
    (run / "evaluation").mkdir()
    (run / "evaluation" / "metrics.json").write_text(json.dumps(REPORT))
    records = tmp_path / "full.jsonl.gz"
    record_trained(run, records, "vesselmnist3d_28")
    record_trained(run, records, "another_24")
    rows = trained_table(records).splitlines()
    figures = "0.900 (0.850 to 0.950) | 0.800 (0.750 to 0.850) | 0.850 (0.800 to 0.900)"
    assert f"| vesselmnist3d, 28³ | ResNet-10, width 4 | 7 | 0.910 | {figures} | 0.887 | 0.951 |" in rows
    assert f"| another, 24³ | ResNet-10, width 4 | 7 | 0.910 | {figures} | 0.887 | – |" in rows
    assert "somebody" not in str(read_lines(records)), "paths of the machine stay there"
    content = (run / "model.pt").read_bytes()
    assert f"| vesselmnist3d_28.pt | {len(content)} | `{hashlib.sha256(content).hexdigest()}` |" in rows


def test_what_was_not_tested_is_not_recorded(run, tmp_path):
    with pytest.raises(CrossDError, match=r"metrics\.json is not there. Run configs/train\.json, then"):
        record_trained(run, tmp_path / "full.jsonl.gz", "vesselmnist3d_28")
    assert not (tmp_path / "full.jsonl.gz").exists()


@pytest.mark.parametrize("report", [{}, {"model": {}, "metrics": {}}])
def test_other_records_are_refused(tmp_path, report):
    records = tmp_path / "full.jsonl.gz"
    assert trained_table(records) == "not run"
    record(records, "bad_28", report)
    with pytest.raises(CrossDError, match=r"bad_28 in .* is no record of a trained model .*\.transfer\.trained"):
        trained_table(records)
