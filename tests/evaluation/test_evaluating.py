"""What an evaluation writes down, and that the figures in it are those of the predictions."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from crossd.errors import CrossDError
from crossd.evaluation import EvaluationReport, Predictions, evaluate
from crossd.evaluation.evaluating import write_by_patient
from crossd.evaluation.plots import PLOTS
from crossd.evaluation.tables import summary
from ignite.engine import Engine

from ..configs import csv_rows


def made_up(task="multiclass", classes=("a", "b", "c"), cases=30):
    torch.manual_seed(0)
    targets = torch.eye(3)[torch.arange(cases) % 3] if task == "multiclass" else torch.randint(0, 2, (cases, 3)).float()
    logits = torch.randn(cases, 3) + targets
    probabilities = logits.softmax(1) if task == "multiclass" else (logits - 1).sigmoid()
    names = [f"case{i}" for i in range(cases)]
    return Predictions(names, [f"p{i // 2}" for i in range(cases)], names, probabilities, targets, classes, task)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_report(task):
    report = evaluate(made_up(task), samples=200)
    json.dumps(report)
    assert (report["cases"], report["patients"]) == (30, 15)
    assert report["chance_balanced_accuracy"] == pytest.approx(1 / 3 if task == "multiclass" else 0.5)
    for name, entry in report["metrics"].items():
        assert entry["low"] <= entry["value"] <= entry["high"] or name == "calibration_error", name
        assert entry["high"] > entry["low"], name
    assert report["metrics"]["auc"]["low"] > 0.5


def test_scans_of_a_patient_are_averaged_where_they_have_one_label(tmp_path):
    said = made_up()
    write_by_patient(tmp_path / "none", said, 100)  # neighbours are of one patient, and of other classes
    write_by_patient(tmp_path / "none", replace(said, patients=said.cases), 100)
    twice = [*range(30), *range(30)]  # of two repeats
    write_by_patient(tmp_path / "none", replace(said, patients=said.cases).take(twice), 100)
    assert not (tmp_path / "none").exists()
    order = [*range(0, 30, 3), *range(1, 30, 3), *range(2, 30, 3)]  # by class: now they are of one
    alike = replace(said, probabilities=said.probabilities[order], targets=said.targets[order])
    write_by_patient(tmp_path / "all", alike, 100)
    rows = csv_rows(tmp_path / "all" / "predictions.csv")
    assert [row["case"] for row in rows] == [f"p{i}" for i in range(15)]
    means = alike.probabilities.reshape(15, 2, 3).mean(1)
    assert [float(row["probability_a"]) for row in rows] == pytest.approx(means[:, 0].tolist(), abs=1e-6)
    report = json.loads((tmp_path / "all" / "metrics.json").read_text())
    assert (report["cases"], report["cases_per_class"]) == (15, {"a": 5, "b": 5, "c": 5})
    assert report["metrics"]["accuracy"]["value"] == (means.argmax(1) == torch.arange(15) // 5).float().mean()


def test_a_class_without_cases_is_not_defined():
    full = made_up()
    keep = [i for i in range(30) if i % 3 != 2]
    some = [full.cases[i] for i in keep]
    report = evaluate(
        Predictions(some, some, some, full.probabilities[keep], full.targets[keep], "abc", "multiclass"), 100
    )
    assert report["metrics"]["auc_c"] == {"value": None, "low": None, "high": None}
    assert report["metrics"]["auc"]["value"] is not None
    assert report["cases_per_class"] == {"a": 10, "b": 10, "c": 0}


def test_no_cases():
    with pytest.raises(CrossDError, match=r"An evaluation needs cases, got none\. Choose another --split"):
        evaluate(Predictions([], [], [], torch.zeros(0, 2), torch.zeros(0, 2), "ab", "multiclass"))


def test_a_report_needs_a_folder():
    with pytest.raises(CrossDError, match=r"needs a folder for its report, got none\. Pass --output_dir"):
        EvaluationReport(None, ["a", "b"], "multiclass")


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_files(task, tmp_path):
    predictions = made_up(task)
    engine = Engine(lambda engine, batch: [{"pred": p, "label": t} for _, _, p, t in batch])

    @engine.on("ITERATION_COMPLETED")
    def decollate(engine):
        engine.state.batch = [
            {"case": case, "patient": patient, "source": case} for case, patient, _, _ in engine.state.batch
        ]

    EvaluationReport(str(tmp_path / "new"), ["a", "b", "c"], task, {"split": "test"}, samples=100).attach(engine)
    rows = list(
        zip(predictions.cases, predictions.patients, predictions.probabilities, predictions.targets, strict=True)
    )
    engine.run([rows[:16], rows[16:]])

    report = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert report["split"] == "test"
    assert report["metrics"] == json.loads(json.dumps(evaluate(predictions, 100)["metrics"]))
    table = {row["metric"]: row for row in csv_rows(tmp_path / "new" / "metrics.csv")}
    assert float(table["auc"]["value"]) == pytest.approx(report["metrics"]["auc"]["value"])
    assert float(table["majority_rate"]["value"]) == pytest.approx(report["majority_rate"])
    table = csv_rows(tmp_path / "new" / "predictions.csv")
    assert [row["case"] for row in table] == list(predictions.cases)
    assert [row["patient"] for row in table] == list(predictions.patients)
    right = sum(row["label"] == row["predicted"] for row in table) / 30
    if task == "multiclass":
        assert right == pytest.approx(report["metrics"]["accuracy"]["value"])
    assert float(table[3]["probability_b"]) == pytest.approx(float(predictions.probabilities[3, 1]), abs=1e-6)
    for name in PLOTS:
        assert (tmp_path / "new" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_drawing_leaves_the_backend_alone(tmp_path, monkeypatch):
    import matplotlib
    from crossd.evaluation.plots import plot_roc

    monkeypatch.setattr(matplotlib, "use", lambda *_, **__: pytest.fail("the backend was changed"))
    plot_roc(tmp_path / "roc.png", made_up())


def test_one_patient_says_nothing_about_others():
    """Drawn again and again, a single patient is always the same: an interval of no width is none."""
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
    targets = torch.tensor([[1, 0], [0, 1], [1, 0], [0, 1]])
    one = evaluate(Predictions("abcd", ["p"] * 4, "abcd", probabilities, targets, ["x", "y"], "multiclass"), 100)
    assert {entry["low"] for entry in one["metrics"].values()} == {None}
    assert summary({**one, "cases": 1}).startswith("1 case of 1 patient\n")
    assert "(95 %" not in summary(one)
    assert summary(one).endswith("fewer than 10 cases of 'x' (2), 'y' (2): their figures say little")
    # y is of one patient: its sensitivity has no interval, its specificity has one
    two = evaluate(
        Predictions("abcd", ["p", "q", "r", "q"], "abcd", probabilities, targets, ["x", "y"], "multiclass"), 100
    )
    assert two["metrics"]["sensitivity"]["low"] is None
    assert two["metrics"]["auc"]["low"] is None
    assert two["metrics"]["specificity"]["low"] is not None
