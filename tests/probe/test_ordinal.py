"""Grades: adjacent grades differ by one direction, scikit-learn's fit is that model's optimum, and files give the same
answers as the probe did."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from crossd.checkpoints import read_card
from crossd.errors import CrossDError
from crossd.evaluation.grades import grade_metrics
from crossd.probe.choosing import Labelled, Recipe, each_and_all
from crossd.probe.labelled import labelled_cases
from crossd.probe.linear import fit_heads
from crossd.probe.outcomes import Classes
from crossd.probe.verdict import predictions_of
from scipy.optimize import minimize

from ..configs import csv_rows
from ..configs import run as run_config

RECIPE = Recipe(task="ordinal", repeats=1, folds=3, strengths=(1e-3, 1e-2, 1e-1))


def made(cases=90, features=6, noise=0.5, seed=0):
    """Features, and grades 0 to 3 along a direction in them."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(cases, features))
    grade = np.digitize(rows[:, 0] - 0.5 * rows[:, 1] + noise * rng.normal(size=cases), [-1.0, 0.0, 1.0])
    return rows, np.eye(4)[grade]


def optimum(rows, targets, strength, weights):
    """Probabilities of the model of adjacent grades at its penalised optimum, by scipy."""
    standard, grade, steps = (rows - rows.mean(0)) / rows.std(0), targets.argmax(1), targets.shape[1] - 1

    def cost(values):
        direction, offsets = values[:-steps], values[-steps:]
        total = direction @ direction / 2
        for below in range(steps):
            near = (grade == below) | (grade == below + 1)
            score = standard[near] @ direction + offsets[below]
            each = np.logaddexp(0, np.where(grade[near] > below, -score, score))
            total += strength * (weights[grade[near]] * each).sum()
        return total

    found = minimize(cost, np.zeros(rows.shape[1] + steps), method="BFGS", options={"gtol": 1e-8}).x
    logits = np.arange(steps + 1) * (standard @ found[:-steps])[:, None]
    return Classes("ordinal").answers(logits + np.concatenate([[0.0], found[-steps:].cumsum()]))


@pytest.mark.parametrize("strength", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("weights", [None, "balanced", [1.0, 2.0, 1.0, 3.0]], ids=str)
def test_the_layer_is_the_model_of_adjacent_grades_at_its_optimum(strength, weights):
    rows, targets = made()
    (head,) = fit_heads(rows, targets, [strength], "ordinal", weights)
    each = {"None": np.ones(4), "balanced": len(rows) / (4 * targets.sum(0))}.get(str(weights), np.asarray(weights))
    np.testing.assert_allclose(
        Classes("ordinal").answers(head(rows)), optimum(rows, targets, strength, each), atol=5e-4
    )
    steps = np.diff(head.weight, axis=0)
    np.testing.assert_allclose(steps, steps[:1].repeat(3, 0), atol=1e-12)  # one direction


def test_grades_along_a_direction_are_found_and_permuted_ones_are_not():
    rows, targets = made(features=20)
    cases = [{"case": str(i), "patient": str(i), "source": ""} for i in range(90)]

    def kappa(truth):
        labelled = Labelled({"seen": rows}, truth, [case["patient"] for case in cases])
        said, _ = RECIPE.nested(labelled, {"probe": each_and_all(["seen"])})["probe"]
        return grade_metrics(predictions_of(cases, said, truth, list("0123"), "ordinal"))["quadratic_kappa"]

    assert kappa(targets) > 0.6
    assert kappa(targets[np.random.default_rng(1).permutation(90)]) < 0.3


def test_a_grade_without_cases_is_passed_over():
    rows, targets = made()
    five = np.insert(targets, 2, 0, axis=1)
    (four,), (head,) = (fit_heads(rows, part, [0.1], "ordinal") for part in (targets, five))
    said = Classes("ordinal").answers(head(rows))
    assert said[:, 2].max() < 0.2
    others = np.delete(head.weight, 2, 0), np.delete(head.bias, 2)
    np.testing.assert_allclose(others[0], four.weight, atol=1e-9)
    np.testing.assert_allclose(others[1], four.bias, atol=1e-9)
    (one,) = fit_heads(rows, np.eye(3)[[1] * 90], [0.1], "ordinal")
    assert one(rows).argmax(1).tolist() == [1] * 90


def table(folder, labels):
    rows = ["image,label,patient"]
    for number, label in enumerate(labels):
        (folder / f"{number}.nii.gz").touch()
        rows.append(f"{number}.nii.gz,{label},{number}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return str(folder / "labels.csv")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["0", "1", "2.0", "mild"] * 3, r"A grade must be a whole number, got .*line 4: '2\.0'; line 5: 'mild'.*--c"),
        (["0", "1"] * 6, r"Grades have an order, so there are 3 or more, got 0, 1 in .* Leave out --task ordinal"),
        (["0", "1", "2"] * 2, r"needs 3 patients or more of each class to choose and to measure"),
    ],
)
def test_grades_that_cannot_be_probed(tmp_path, labels, message):
    with pytest.raises(CrossDError, match=message):
        labelled_cases(None, table(tmp_path, labels), "ordinal")


def test_grades_are_in_order_and_gaps_are_told(tmp_path, caplog):
    found = labelled_cases(None, table(tmp_path, ["10", "2", "9", "4"] * 5), "ordinal")
    assert found["class_names"] == ["2", "4", "9", "10"]
    assert "has no case of grade 3, 5, 6, 7, 8: a step is from one grade that there is to the next" in caplog.text
    names = ["mild", "moderate", "bad"]
    found = labelled_cases(None, table(tmp_path, names * 5), "ordinal", names)
    assert [case["label"] for case in found["train"][:3]] == [0, 1, 2]


def test_its_model_says_on_files_what_the_probe_said(run, tmp_path):
    """As a user does it, by the configs: the folded head in the network, on files, by inference.json."""
    rng = np.random.default_rng(0)
    lines = ["image,stage,split"]
    for case in range(18):
        voxels = rng.normal(100, 5, (8, 8, 8)).astype(np.float32)
        voxels[: 2 + 2 * (case % 3)] += 80
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / f"c{case:02}.nii.gz")
        lines.append(f"c{case:02}.nii.gz,{case % 3},{'test' if case >= 12 else 'train'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    given = {"images": str(tmp_path), "labels": str(tmp_path / "labels.csv"), "label": "stage", "task": "ordinal"}
    folder = run(**given, folds=2, strengths=[0.01, 0.1], views=["slices"])
    results = {row["features"]: row for row in csv_rows(folder / "results.csv")}
    assert list(results) == ["probe", "trivial", "histogram", "shape", "voxels", "median"]
    assert (results["median"]["quadratic_kappa"], float(results["trivial"]["quadratic_kappa"]) > 0.8) == ("0.0", True)
    assert "steps" not in json.loads((folder / "metrics.json").read_text())["verdict"]
    assert "weighted kappa" in (folder / "report.html").read_text(encoding="utf-8")
    card = read_card(folder / "model.pt")
    assert (card["task"], card["class_names"]) == ("ordinal", ["0", "1", "2"])
    assert {*card["metrics"]} == {"quadratic_kappa", "mae", "spearman", "balanced_accuracy"}
    answers = tmp_path / "answers"
    given = {"images": tmp_path, "weights": folder / "model.pt", "output_dir": answers, "report": False}
    run_config("inference", **given, evidence="windows", device="cpu")
    told = {row["case"]: row for row in csv_rows(answers / "predictions.csv")}
    for row in csv_rows(folder / "predictions.csv"):
        assert told[row["case"]]["predicted_class"] == row["predicted"]
        for grade in "012":
            same = float(told[row["case"]][f"probability_{grade}"])
            assert same == pytest.approx(float(row[f"probability_{grade}"]), abs=1e-3)
