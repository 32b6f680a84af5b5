"""What cross-validation promises: nothing is measured on what has trained or chosen it, and nothing is done twice."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from crossd.checkpoints import read_card, read_checkpoint, save_checkpoint
from crossd.errors import CrossDError
from crossd.evaluation import Predictions
from crossd.folds import join_models, judged
from crossd.folds.parting import parted
from crossd.training.calibration import at_temperature
from sklearn.metrics import roc_auc_score

from ..configs import csv_rows, cubes, refused, run

SMALL = {"roi_size": [8, 8, 8], "depth": 10, "width": 4, "batch_size": 6, "tensorboard": False, "weights": "none"}


def rows(count, per_patient=2):
    return [{"case": str(i), "patient": f"p{i // per_patient}", "label": i // per_patient % 3} for i in range(count)]


def test_each_case_is_tested_once_a_repeat_by_a_fold_without_its_patient():
    cases = {"class_names": ["a", "b", "c"], "train": rows(48), "val": [], "test": []}
    folds = parted(cases, folds=4, repeats=2, seed=1)
    for repeat in (folds[:4], folds[4:]):
        tested = [case["case"] for fold in repeat for case in fold if case["split"] == "test"]
        assert sorted(tested) == sorted(case["case"] for case in cases["train"])
    assert [[c["split"] for c in fold] for fold in folds[:4]] != [[c["split"] for c in fold] for fold in folds[4:]]
    for fold in folds:
        who = {split: {c["patient"] for c in fold if c["split"] == split} for split in ("train", "val", "test")}
        assert not who["train"] & who["val"] | who["train"] & who["test"] | who["val"] & who["test"]
        assert [sum(c["label"] == k for c in fold if c["split"] == "test") for k in range(3)] == [4, 4, 4]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"folds": 1}, "Cross-validation needs 2 folds and 1 repeat or more, got --folds 1 --repeats 1."),
        ({"folds": 3, "repeats": 0}, "got --folds 3 --repeats 0"),
        ({"folds": 9}, r"a class needs 9 patients or more, got fewer of 'a' \(8\), 'b' \(8\), 'c' \(8\)"),
    ],
)
def test_folds_that_cannot_be_are_refused(given, said):
    with pytest.raises(CrossDError, match=said):
        parted({"class_names": ["a", "b", "c"], "train": rows(48), "val": []}, **given)


def said(chances, targets, patients=None):
    names = [str(i) for i in range(len(chances))]
    both = torch.tensor(np.stack([1 - np.array(chances), chances], 1))
    return Predictions(names, patients or names, names, both, torch.eye(2)[list(targets)], ["a", "b"], "multiclass")


def test_folds_of_another_scale_do_not_change_the_auc_within_folds():
    """One fold's model says everything higher: the pooled AUC falls, that within folds is scikit-learn's mean."""
    rng = np.random.default_rng(0)
    targets, folds = np.tile([0, 1], 30), np.repeat([0, 1, 2], 20)
    chances = 0.2 + 0.1 * rng.random(60) + 0.05 * targets
    alike, shifted = (judged(said(p, targets), folds, samples=100) for p in (chances, chances + 0.3 * (folds == 1)))
    each = [roc_auc_score(targets[folds == k], chances[folds == k]) for k in range(3)]
    assert shifted["metrics"]["auc_within_folds"]["value"] == pytest.approx(np.mean(each))
    assert shifted["metrics"]["auc_within_folds"] == alike["metrics"]["auc_within_folds"]
    assert shifted["metrics"]["auc"]["value"] < alike["metrics"]["auc"]["value"]


def test_repeats_make_no_interval_narrower():
    rng = np.random.default_rng(0)
    targets = np.tile([0, 1], 20)
    chances, patients = 0.3 + 0.3 * rng.random(40) + 0.1 * targets, [f"p{i}" for i in range(40)]
    once = judged(said(chances, targets, patients), [0] * 40, samples=100)
    names = [*patients, *patients]
    twice = judged(said(np.tile(chances, 2), np.tile(targets, 2), names), [0] * 40 + [1] * 40, 2, samples=100)
    assert twice["metrics"]["auc_within_folds"] == once["metrics"]["auc_within_folds"]
    assert twice["cases_per_class"] == once["cases_per_class"] == {"a": 20, "b": 20}


def test_members_of_other_classes_are_refused(root, tmp_path):
    path = root / "models" / "model.pt"
    state, card = read_checkpoint(path)["model"], read_card(path)
    for name, classes in (("one", ["healthy", "aneurysm"]), ("other", ["healthy", "ill"])):
        save_checkpoint(tmp_path / f"{name}.pt", state, {**card, "class_names": classes})
    with pytest.raises(CrossDError, match=r"other.pt differs from .*one.pt in class_names"):
        join_models([tmp_path / "one.pt", tmp_path / "other.pt"], tmp_path / "both.pt", {})


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return cubes(tmp_path_factory.mktemp("volumes"), (9, 8, 7))


def test_what_has_no_folds_says_so(volumes, tmp_path):
    given = {**SMALL, "images": volumes / "images", "output_dir": tmp_path, "folds": 2}
    refused(lambda: run("train", **given), "each trained by train.json in one process; got no labels. Leave --folds")
    hybrid = {"volumes": given.pop("images"), "labels": volumes / "labels.csv", **given}
    refused(lambda: run("train", "train_hybrid", **hybrid), "in one process; got train_hybrid.json. Leave --folds out")


@pytest.mark.slow
def test_a_run_in_folds_resumes_and_its_ensemble_predicts(volumes, tmp_path, monkeypatch, caplog):
    given = {**SMALL, "images": volumes / "images", "labels": volumes / "labels.csv", "output_dir": tmp_path / "out"}
    given |= {"epochs": 2, "learning_rate": 0.01, "folds": 2}

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("crossd.folds.running._CrossValidation._join", killed)
        with pytest.raises(KeyboardInterrupt):
            run("train", **given)
    (tmp_path / "out" / "fold_1" / "evaluation" / "predictions.csv").unlink()
    before = read_checkpoint(tmp_path / "out" / "fold_0" / "model.pt")["model"]
    with caplog.at_level("INFO"):
        run("train", **given)
    assert "fold_0 is done" in caplog.text
    assert "resumed after epoch 2 of 2" in caplog.text
    assert "fold_1 is done" not in caplog.text

    out = csv_rows(tmp_path / "out" / "out_of_fold" / "predictions.csv")
    assert sorted(row["case"] for row in out) == [f"c{i:02}" for i in range(24)]
    for number in (0, 1):
        split = {row["case"]: row["split"] for row in csv_rows(tmp_path / "out" / f"fold_{number}" / "datalist.csv")}
        assert {split[row["case"]] for row in out if row["fold"] == str(number)} == {"test"}
    assert len(csv_rows(tmp_path / "out" / "out_of_fold" / "folds.csv")) == 2
    page = (tmp_path / "out" / "out_of_fold" / "evaluation.html").read_text()
    assert "out-of-fold cases" in page
    assert page.count("data:image/jpeg") > 5  # slices of errors and hits
    report = json.loads((tmp_path / "out" / "out_of_fold" / "metrics.json").read_text())
    assert (report["cases"], report["folds"], report["majority_rate"]) == (24, 2, 0.5)

    content = read_checkpoint(tmp_path / "out" / "model.pt")
    calibration = content["card"]["calibration"]
    assert calibration["cases"] == 24, "no fold has the validation cases for a temperature of its own"
    for name, value in at_temperature(before, calibration["temperature"]).items():
        torch.testing.assert_close(content["model"][f"members.0.{name}"], value, rtol=0, atol=0)
    assert "calibrated on 24 out-of-fold cases: temperature" in caplog.text
    assert "temperature" in page
    assert content["card"]["data"] == "labels.csv"
    assert content["card"]["scope"]["cases"] == [10, 2]  # of the first fold
    run("inference", images=volumes / "images", weights=tmp_path / "out" / "model.pt", output_dir=tmp_path / "said")
    said_by_it = csv_rows(tmp_path / "said" / "predictions.csv")
    assert all(0 <= float(row["disagreement"]) < 0.5 and row["scope"] for row in said_by_it)

    run("train", "evaluate", output_dir=tmp_path / "out", split="train", bootstrap_samples=100)
    assert (tmp_path / "out" / "evaluation" / "metrics.json").is_file()

    refused(lambda: run("train", **{**given, "epochs": 1}), "epochs was 2 and is 1")
    refused(
        lambda: run("train", **{**given, "weights": tmp_path / "out" / "model.pt", "output_dir": tmp_path / "new"}),
        "model.pt is an ensemble of 2. Pass one of its members",
    )
    assert read_card(tmp_path / "out" / "model.pt")["network"]["count"] == 2
    run("train", **{**given, "epochs": 3})
    done = [read_checkpoint(tmp_path / "out" / f"fold_{number}" / "checkpoint_0003.pt") for number in (0, 1)]
    assert [stored["settings"]["epochs"] for stored in done] == [3, 3]
