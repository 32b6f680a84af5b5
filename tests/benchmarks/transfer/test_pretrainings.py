"""The table of pre-trainings is made of the reports that pre-training writes."""

from __future__ import annotations

import json

import pytest
from crossd.benchmark.transfer.pretrainings import METRICS, pretraining_table
from crossd.errors import CrossDError

REPORT = {
    "classes": ["a", "b", "c"],
    "images": {"train": 90, "val": 10},
    "network": {"width": 16, "conv": "plain", "depth": 18},
    "epochs": 6,
    "metrics": {metric: 0.5 + index / 10 for index, metric in enumerate(METRICS)},
}


def test_a_row_for_each_report(tmp_path):
    assert pretraining_table(tmp_path) == "not run"
    (tmp_path / "plain.json").write_text(json.dumps(REPORT))
    row = "| plain | width 16, plain | 90 (10) | 3 | 6 | 0.500 | 0.600 | 0.700 | 0.800 | 0.900 |"
    assert pretraining_table(tmp_path).splitlines()[2:] == [row]


def test_a_wider_angle_is_said(tmp_path):
    network = {"width": 8, "motion": "rotate", "max_angle": 1.5708}
    (tmp_path / "wide.json").write_text(json.dumps({**REPORT, "network": network}))
    assert "| wide | width 8, rotate, max_angle 1.571 |" in pretraining_table(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({**REPORT, "metrics": {}})])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(CrossDError, match=r"bad\.json is no metrics\.json of a 2D pre-training .* Copy the one that"):
        pretraining_table(tmp_path)


def test_those_of_the_repository(root):
    assert "| axes-projection | width 16, rotate, projection, rest | 4873 (551) | 10 | 6 |" in pretraining_table(
        root / "docs" / "results" / "pretraining"
    )
