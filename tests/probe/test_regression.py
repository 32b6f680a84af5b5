"""Numbers to be predicted: a linear target is found, chance is not, units do not matter; scikit-learn says the same."""

from __future__ import annotations

import csv
import json
import logging

import nibabel
import numpy as np
import pytest
import torch
from crossd.checkpoints import read_card
from crossd.errors import CrossDError, rule_broken
from crossd.evaluation.figure import Figure
from crossd.probe.choosing import Labelled, Recipe, each_and_all
from crossd.probe.labelled import labelled_cases
from crossd.probe.linear import fit_heads
from crossd.probe.outcomes import Values
from crossd.probe.verdict import Finding, predictions_of, signal, verdict
from monai.bundle import ConfigWorkflow

RECIPE = Recipe(task="regression", repeats=1, folds=4)


def made(cases=80, features=30, noise=0.1, seed=0, patients=None):
    """Features, and a number that is a linear function of the first three of them."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(cases, features))
    targets = 40 + 5 * (rows[:, :3] @ [1.0, -2.0, 0.5]) + noise * rng.normal(size=cases)
    return Labelled({"seen": rows}, targets[:, None], patients or [str(i) for i in range(cases)])


def evaluated(labelled, samples=300):
    from crossd.evaluation import evaluate

    said, choices = RECIPE.nested(labelled, {"probe": each_and_all(["seen"])})["probe"]
    cases = [{"case": str(i), "patient": who, "source": ""} for i, who in enumerate(labelled.patients)]
    report = evaluate(predictions_of(cases, said, labelled.targets, ["ml"], "regression"), samples)
    return said, report, choices


def test_a_target_that_is_a_linear_function_of_features_is_found():
    _, report, _ = evaluated(made())
    assert report["metrics"]["r2"]["low"] > 0.98
    assert report["metrics"]["spearman"]["low"] > 0.98
    assert report["metrics"]["mae"]["high"] < 0.2 * report["mae_of_mean"]


@pytest.mark.slow
def test_a_permuted_target_shows_no_skill():
    """The interval of R² holds 0 or less in each of five permutations, and the verdict says so."""
    for seed in range(5):
        labelled = made(seed=seed)
        order = np.random.default_rng(seed + 100).permutation(80)
        chance = Labelled(labelled.sets, labelled.targets[order], labelled.patients)
        assert evaluated(chance, 200)[1]["metrics"]["r2"]["low"] <= 0


@pytest.mark.parametrize(
    ("scale", "shift"),
    [(-2.0, 500.0), pytest.param(1000.0, 0.0, marks=pytest.mark.slow), pytest.param(1e-3, 0.0, marks=pytest.mark.slow)],
)
def test_another_unit_gives_the_same_answers_in_that_unit(scale, shift):
    labelled = made(noise=3.0)
    said, report, choices = evaluated(labelled)
    other, other_report, other_choices = evaluated(
        Labelled(labelled.sets, scale * labelled.targets + shift, labelled.patients)
    )
    if scale > 0:  # folds are by quantiles
        np.testing.assert_allclose(other, scale * said + shift, rtol=1e-8)
        assert [one.strength for one in choices] == [one.strength for one in other_choices]
        for name in ("r2", "spearman"):
            assert other_report["metrics"][name]["low"] == pytest.approx(report["metrics"][name]["low"], abs=1e-9)
        assert other_report["metrics"]["mae"]["value"] == pytest.approx(scale * report["metrics"]["mae"]["value"])
    else:
        assert other_report["metrics"]["r2"]["low"] > 0.5


@pytest.mark.parametrize("features", [5, 200])
@pytest.mark.parametrize("strength", [1e-3, 0.1, 1.0])
def test_the_layer_is_scikit_learns_ridge_of_standardised_features_and_target(features, strength):
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labelled = made(40, features, noise=2.0)
    rows, targets = labelled.sets["seen"], labelled.targets
    (head,) = fit_heads(rows, targets, [strength], "regression")
    model = make_pipeline(
        StandardScaler(), TransformedTargetRegressor(Ridge(1 / strength), transformer=StandardScaler())
    )
    np.testing.assert_allclose(head(rows), model.fit(rows, targets).predict(rows), rtol=1e-9)


def test_figures_are_those_of_scikit_learn_and_scipy():
    from crossd.evaluation import Predictions
    from crossd.evaluation.values import value_metrics
    from scipy.stats import spearmanr
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    rng = np.random.default_rng(0)
    true, said = rng.normal(3, 2, 50).round(1), rng.normal(3, 2, 50)
    found = value_metrics(Predictions.of(torch.tensor(said)[:, None], torch.tensor(true)[:, None], ["a"], "regression"))
    assert found["r2"] == pytest.approx(r2_score(true, said))
    assert found["mae"] == pytest.approx(mean_absolute_error(true, said))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(true, said))
    assert found["spearman"] == pytest.approx(spearmanr(true, said)[0])
    same = torch.ones(4, 1)
    nothing = value_metrics(Predictions.of(same, same, ["a"], "regression"))
    assert np.isnan(nothing["r2"])
    assert np.isnan(nothing["spearman"])


def test_folds_part_patients_and_share_out_quantiles():
    labelled = made(60, patients=[str(i // 2) for i in range(60)])
    low = labelled.targets[:, 0] < np.median(labelled.targets)
    for training, held_out in RECIPE.parts(labelled):
        assert not {labelled.patients[i] for i in training} & {labelled.patients[i] for i in held_out}
        assert 0.25 < low[held_out].mean() < 0.75
    kinds = Values().kinds(labelled.targets, labelled.patients, 4)
    assert len({*kinds}) == 5


def table(folder, labels, name="label", patients=None):
    rows = [f"image,{name},patient"]
    for number, label in enumerate(labels):
        (folder / f"{number}.nii.gz").touch()
        rows.append(f'{number}.nii.gz,"{label}",{patients[number] if patients else number}')
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return str(folder / "labels.csv")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["1.5", "2", "heavy", "3"], r"must be one, without unit or thousands sep.*line 4: 'heavy'.*leave out --task"),
        (["1.5", "2 ml", "inf", "1_000"], r"line 3: '2 ml'; line 4: 'inf'; line 5: '1_000'"),
        (["1.5", "", "nan", "3"], r"needs a number to be predicted, got in .*line 3: nothing; line 4: 'nan'\. Fill it"),
        (
            ["1,5", "2.5", "3", "4"],
            r"decimal points, or all of them commas, got in .*line 2: '1,5'\. Write them in one",
        ),
        (["3"] * 12, r"at least two values, got only 3 in .*labels\.csv\. Add cases of another value"),
        ([1e9 + n / 1000 for n in range(12)], r"must differ by more than rounding, got a mean of 1e\+09 .*Subtract"),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], r"of 5 folds needs 10 patients or more .*, got 9 in .*pass fewer --folds"),
    ],
)
def test_numbers_that_cannot_be_probed(tmp_path, labels, message):
    with pytest.raises(CrossDError, match=message):
        labelled_cases(None, table(tmp_path, labels), "regression")


def test_options_of_classes_are_refused(tmp_path):
    labels = table(tmp_path, range(10))
    with pytest.raises(CrossDError, match=r"predicts one number, got 2 --classes \(low, high\)\. Leave them out"):
        labelled_cases(None, labels, "regression", ["low", "high"])
    with pytest.raises(CrossDError, match=r"class_weights are of classes, got \[1\.0, 2\.0\] for a number"):
        fit_heads(np.ones((4, 2)), np.arange(4.0)[:, None], [1.0], "regression", [1.0, 2.0])


def test_decimal_commas_and_names(tmp_path):
    found = labelled_cases(None, table(tmp_path, [f"{n},5" for n in range(10)]), "regression")
    assert [case["label"] for case in found["train"]] == [n + 0.5 for n in range(10)]
    assert (found["class_names"], found["target"]["mean"]) == (["value"], 5.0)
    named = table(tmp_path, range(10), "age")
    assert labelled_cases(None, named, "regression", columns={"label": "age"})["class_names"] == ["age"]


def test_a_constant_fold_says_its_value():
    (head,) = fit_heads(np.ones((4, 2)), np.full((4, 1), 7.0), [1.0], "regression")
    assert head(np.zeros((1, 2))).tolist() == [[7.0]]


OF_NUMBER = {"called": "R²", "chance": 0.0, "beside": ", mean absolute error 0.2 (95 % 0.1 to 0.3) beside 0.4 by …"}
BASE = (Figure(0.5, 0.3, 0.6), "shape", Figure(0.2, 0.1, 0.3), Figure(0.3, 0.1, 0.5), 60, "", 60, "5 outer folds")


@pytest.mark.parametrize(
    ("changes", "word", "said"),
    [
        ({}, "ahead", "There is a signal: R² 0.50 (95 % 0.30 to 0.60) on 5 outer folds of 60 patients, mean absolute"),
        ({"auc": Figure(-0.1, -0.3, 0.1), "trivial_auc": Figure(0.0, -0.1, 0.1)}, "none", "always saying the mean can"),
        ({"ahead": Figure(-0.1, -0.2, -0.02)}, "trivial", "scanners or protocols differ with the number"),
        ({"fewest": 12}, "ahead", "Next: label more cases (12 patients), then run the probe again"),
    ],
)
def test_what_is_said(changes, word, said):
    from dataclasses import replace

    finding = replace(Finding(*BASE, **OF_NUMBER), **changes)
    assert signal(finding) == word
    assert said in verdict(finding)


@pytest.fixture
def sized(tmp_path):
    """Volumes with a cube in them, and the length of its side as the number."""
    folder = tmp_path / "sized"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["image,size mm,split"]
    for case in range(20):
        side = 3 + case % 5
        voxels = rng.normal(100, 5, (12, 11, 10)).astype(np.float32)
        voxels[1 : 1 + side, 1 : 1 + side, 1 : 1 + side] += 80
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 1.5, 1])), folder / f"c{case:02}.nii.gz")
        lines.append(f"c{case:02}.nii.gz,{side + 0.5},{'test' if case >= 14 else 'train'}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_its_model_says_on_files_what_the_probe_said(root, run, sized, tmp_path, caplog):
    """As a user does it, by the configs: the folded head in the network, on files, by inference.json."""
    caplog.set_level(logging.INFO, "crossd")
    given = {"images": str(sized), "labels": str(sized / "labels.csv"), "label": "size mm", "task": "regression"}
    folder = run(**given, folds=3, strengths=[0.01, 0.1])
    results = {row["features"]: row for row in rows(folder / "results.csv")}
    assert list(results) == ["probe", "trivial", "histogram", "shape", "voxels", "mean"]
    assert float(results["trivial"]["r2"]) > 0.8
    assert results["mean"]["r2"] == "0.0"
    assert "mean absolute error" in json.loads((folder / "metrics.json").read_text())["verdict"]
    assert (folder / "report.html").read_text(encoding="utf-8").count("data:image/png;base64,") == 2
    assert not (folder / "classes.csv").exists()
    assert "size mm in " in caplog.text
    card = read_card(folder / "model.pt")
    assert (card["task"], card["class_names"], card["network"]["num_classes"]) == ("regression", ["size mm"], 1)
    training = np.array([3.5 + case % 5 for case in range(14)])
    assert card["target"] == {"mean": pytest.approx(training.mean()), "scale": pytest.approx(training.std())}
    said = {row["case"]: float(row["predicted"]) for row in rows(folder / "predictions.csv")}
    assert len(said) == 6

    def answered(**options):
        inference = ConfigWorkflow(
            str(root / "configs" / "inference.json"),
            workflow_type="infer",
            logging_file=False,
            images=str(sized),
            weights=str(folder / "model.pt"),
            output_dir=str(tmp_path / "answers"),
            device="cpu",
            **options,
        )
        inference.initialize()
        inference.run()

    answered()
    answers = {row["case"]: row for row in rows(tmp_path / "answers" / "predictions.csv")}
    assert list(answers["c00"])[:4] == ["case", "source", "predicted_size mm", "scope"]
    for case, value in said.items():
        assert float(answers[case]["predicted_size mm"]) == pytest.approx(value, abs=1e-4)
    told = json.loads((tmp_path / "answers" / "predictions.json").read_text())["cases"][0]
    assert told["evidence_method"] == "gradient"
    assert told["values"]["size mm"] == pytest.approx(float(answers["c00"]["predicted_size mm"]), abs=1e-4)
    evidence = nibabel.load(tmp_path / "answers" / "evidence" / "c00.nii.gz")
    assert bytes(evidence.header["descrip"]).startswith(b"gradient: what a voxel adds to size mm")
    page = (tmp_path / "answers" / "report.html").read_text(encoding="utf-8")
    assert "a number: size mm" in page
    assert "P(size mm)" not in page
    for options, message in (
        ({"aggregate": "max"}, r"joined by their mean, got aggregate 'max', which is for probabilities"),
        ({"dicom_sr": True}, r"states probabilities of classes, got a model that predicts a number, size mm"),
    ):
        with pytest.raises((CrossDError, RuntimeError)) as error:
            answered(**options)
        with pytest.raises(CrossDError, match=message):
            raise rule_broken(error.value)
