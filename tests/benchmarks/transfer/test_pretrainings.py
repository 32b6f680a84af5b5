"""The table of pre-trainings is made of the reports that pre-training writes."""

from __future__ import annotations

import json

import pytest
from crossd.errors import CrossDError

from scripts.benchmarks.runs.records import record
from scripts.benchmarks.transfer.pretrainings import METRICS, main, pretraining_table

REPORT = {
    "classes": ["a", "b", "c"],
    "images": {"train": 90, "val": 10},
    "network": {"width": 16, "conv": "plain", "depth": 18},
    "epochs": 6,
    "metrics": {metric: 0.5 + index / 10 for index, metric in enumerate(METRICS)},
}


@pytest.fixture
def records(tmp_path):
    return tmp_path / "pretraining.jsonl.gz"


def test_a_row_for_each_report(records):
    assert pretraining_table(records) == "not run"
    for epochs in (5, 6):
        record(records, "plain", {**REPORT, "epochs": epochs})
    row = "| plain | width 16, plain | 90 (10) | 3 | 6 | 0.500 | 0.600 | 0.700 | 0.800 | 0.900 |"
    assert pretraining_table(records).splitlines()[2:] == [row]


def test_a_wider_angle_is_said(records):
    network = {"width": 8, "motion": "rotate", "max_angle": 1.5708}
    record(records, "wide", {**REPORT, "network": network})
    assert "| wide | width 8, rotate, max_angle 1.571 |" in pretraining_table(records)


@pytest.mark.parametrize("report", [{}, {**REPORT, "metrics": {}}, {**REPORT, "network": None}])
def test_other_reports_are_refused(records, report):
    record(records, "bad", report)
    with pytest.raises(
        CrossDError, match=r"bad in .* is no metrics\.json of a 2D pre-training .* Run configs/pretrain_2d"
    ):
        pretraining_table(records)


def test_the_command_takes_the_report_of_a_run(records, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["x", "--output_dir", str(tmp_path), "--name", "plain", "--records", str(records)])
    assert main() == 1
    assert "is recorded with its report; " in capsys.readouterr().err
    (tmp_path / "metrics.json").write_text(json.dumps(REPORT))
    assert main() == 0
    assert "| plain | width 16, plain |" in pretraining_table(records)


def test_those_of_the_repository(root):
    assert "| axes-projection | width 16, rotate, projection, rest | 4873 (551) | 10 | 6 |" in pretraining_table(
        root / "docs" / "results" / "pretraining.jsonl.gz"
    )
