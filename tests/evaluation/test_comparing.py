"""Two runs on the same cases: the interval is that of DeLong, and what cannot be compared is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from crossd.cards.operating_point import OperatingPoint
from crossd.errors import CrossDError
from crossd.evaluation import Predictions, evaluate
from crossd.evaluation.comparing import compare, differences, read_evaluation
from crossd.evaluation.tables import write_tables

from ..configs import csv_rows


@pytest.fixture(scope="module")
def runs():
    """Of 80 cases, the second of which sees better."""
    rng = np.random.default_rng(1)
    ill = rng.integers(0, 2, 80)
    shared = rng.normal(size=80)
    targets = torch.from_numpy(np.stack([1 - ill, ill], 1))

    def run(strength):
        chance = 1 / (1 + np.exp(-(strength * ill + 0.5 * shared + rng.normal(size=80))))
        said = torch.from_numpy(np.stack([1 - chance, chance], 1))
        point = OperatingPoint("multiclass", ("well", "ill"), 0, {"ill": 0.6})
        return replace(Predictions.of(said, targets, ["well", "ill"], "multiclass"), operating_point=point)

    return run(0.5), run(2.0)


def delong(one, other):
    """Standard error of the difference of two AUCs (DeLong, DeLong, Clarke-Pearson, Biometrics 1988)."""
    parts = []
    for run in (one, other):
        score, ill = run.probabilities[:, 1].numpy(), run.targets[:, 1].numpy() == 1
        wins = (score[ill][:, None] > score[~ill]).astype(float)
        parts.append((wins.mean(1), wins.mean(0)))
    return np.sqrt(sum(np.var(a - b, ddof=1) / len(a) for a, b in zip(*parts, strict=True)))


@pytest.mark.slow
def test_the_interval_is_that_of_delong(runs):
    first, second, change = differences(*runs, samples=600)["auc"]
    assert change.value == pytest.approx(second - first)
    assert change.high - change.low == pytest.approx(2 * 1.96 * delong(*runs), rel=0.1)
    assert differences(runs[0], runs[0])["auc"][2].high == 0  # of the same run


def write(folder, predictions):
    folder.mkdir()
    write_tables(folder, evaluate(predictions, 100), predictions)
    return folder


@pytest.mark.slow
def test_what_an_evaluation_wrote_is_compared_whatever_the_order_of_cases(runs, tmp_path):
    one = write(tmp_path / "one", runs[0])
    other = write(tmp_path / "other", runs[1].take(np.arange(80)[::-1]))
    read = read_evaluation(one)
    torch.testing.assert_close(read.probabilities, runs[0].probabilities, atol=1e-6, rtol=0)
    assert (read.point.limits, read.point.positive) == ({"ill": 0.6}, 1)
    said = compare(one, other, tmp_path / "both", 100)
    assert "The second run is better: AUROC 0." in said
    table = {row["metric"]: row for row in csv_rows(tmp_path / "both" / "comparison.csv")}
    assert float(table["auc"]["difference"]) == pytest.approx(differences(*runs)["auc"][2].value)
    assert {"sensitivity", "specificity", "brier"} <= {*table}
    assert (tmp_path / "both" / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert "The runs are not told apart" in compare(one, one, tmp_path / "same", 100)


def test_other_cases_are_not_compared(runs, tmp_path):
    one, other = write(tmp_path / "one", runs[0]), write(tmp_path / "other", runs[1].take(range(40)))
    with pytest.raises(
        CrossDError, match=r"on the same cases .* 80 cases of well, ill, .* 40 are in both\. Evaluate both"
    ):
        compare(one, other, tmp_path / "both")
    with pytest.raises(CrossDError, match=r"by their evaluations, and there is none in .*nowhere\. Evaluate that run"):
        compare(one, tmp_path / "nowhere", tmp_path / "both")
    (other / "metrics.json").write_text('{"classes": ["a"], "task": "multiclass"}')
    with pytest.raises(CrossDError, match=r"evaluations of this version, got .*other\. Evaluate that run again"):
        compare(one, other, tmp_path / "both")
