"""Columns beside the image: found where they tell, answered as the regression said, and refused where they are not."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from crossd.cards.covariates import Covariates, columns_of, figures_of
from crossd.cards.rules import check_card
from crossd.checkpoints import read_card
from crossd.data import CovariateTable
from crossd.errors import CrossDError
from crossd.export.trained import Trained
from crossd.inference import CaseDataset
from crossd.inference.case_dataset import case_key
from crossd.probe.choosing import Candidate, Labelled, Recipe, each_and_all
from crossd.probe.linear import fit_heads
from crossd.probe.model_file import parted_head
from crossd.probe.outcomes import outcome_of
from crossd.probe.regressions import Linear

from ..configs import csv_rows, refused
from ..configs import run as run_config

GIVEN = {"age": None, "sex": ["F", "M"]}


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "ordinal", "regression"])
def test_the_answer_is_that_of_the_regression_on_both(task):
    rng = np.random.default_rng(0)
    outputs = {"regression": 1, "multilabel": 2}.get(task, 3)
    views, figures = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    head = Linear(rng.normal(size=(outputs, 7)), rng.normal(size=outputs))
    of_views, covariates = parted_head(head, Covariates(task, GIVEN, [], []), figures)
    card = {"task": task, "covariates": covariates.entry()}
    rows = [{"age": "61,5", "sex": "M"}, {"age": "40", "sex": "F"}]
    both = np.array([figures_of(GIVEN, row) for row in rows])
    outcome = outcome_of(task)
    expected = outcome.answers(head(np.concatenate([views[:2], both], 1)))
    alone = torch.from_numpy(outcome.answers(of_views(views[:2])))
    found = [Covariates.of(card).joined(*one) for one in zip(alone, rows, strict=True)]
    np.testing.assert_allclose(torch.stack(found), expected, rtol=1e-6)


def made(cases=60, views=400):
    """A target that the image tells half of, and one column the other half."""
    rng = np.random.default_rng(0)
    image, age, ill = rng.normal(size=cases), rng.normal(size=cases), np.arange(cases) % 2
    rows = rng.normal(size=(cases, views)) * 0.5
    rows[:, :40] += (image + 1.2 * ill)[:, None]
    sets = {"views": rows, "covariates": (60 + 10 * (age + 1.2 * ill))[:, None]}
    return Labelled(sets, np.eye(2)[ill], [str(number) for number in range(cases)])


def test_a_column_that_tells_is_chosen_and_one_of_many_features_is_heard():
    labelled = made()
    recipe = Recipe(repeats=1, folds=4, strengths=(1e-4, 1e-3, 1e-2))
    found = recipe.choose(labelled, {"probe": each_and_all(["views"], covariates=True)})["probe"]
    assert found.candidate.sets == ("views", "covariates")
    assert found.scores["views + covariates"] > found.scores["views"] + 0.02


def test_a_block_of_columns_has_the_variance_of_the_views():
    """So enlarged, one penalty is that of both blocks: scaling by hand and undoing it gives the same layer."""
    labelled = made(views=25)
    (head,) = Candidate(("views", "covariates")).heads(labelled, [0.01], "multiclass", None)
    rows = labelled.rows(("views", "covariates"))
    scale = np.append(np.ones(25), 5.0)
    standard = (rows - rows.mean(0)) / rows.std(0) * scale
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=0.01, tol=1e-8, max_iter=1000).fit(standard, labelled.targets.argmax(1))
    logits = np.asarray(head(rows))
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], model.decision_function(standard), atol=1e-3)
    (alone,) = Candidate(("covariates",)).heads(labelled, [0.01], "multiclass", None)
    (plain,) = fit_heads(labelled.sets["covariates"], labelled.targets, [0.01], "multiclass", None)
    np.testing.assert_array_equal(alone.weight, plain.weight)


def card(**entry):
    of = {"columns": GIVEN, "mean": [60.0, 0.5, 0.5], "coefficients": [[0.0] * 3, [0.1, 0, 1]], "image": ["Scan"]}
    return {"task": "multiclass", "covariates": {**of, **entry}}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"mean": [60.0]}, "`covariates.mean` of a checkpoint's card must be 3 numbers, one a figure"),
        (
            {"coefficients": [[0.0] * 3]},
            "`covariates.coefficients` .* must be 2 lists of 3 numbers, one list an output",
        ),
        ({"columns": {"sex": [1]}}, "`covariates.columns` .* must be null for a number, or a list of texts"),
        ({"image": "Scan"}, "`covariates.image` .* must be a list of texts"),
        ({"else": 1}, "`covariates` .* must be a dictionary of coefficients, columns, image, mean"),
    ],
)
def test_entries_that_are_none(root, entry, said):
    own = {**read_card(root / "models" / "model.pt"), **card()}
    assert check_card(own) is own
    with pytest.raises(CrossDError, match=said):
        check_card({**own, **card(**entry)})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"sex": "F"}, r"needs a value of 'age', a number; got nothing\. Fill the cell in the table of --covariates"),
        ({"age": "old", "sex": "F"}, r"'age', a number; got 'old'"),
        ({"age": "60", "sex": "male"}, r"'sex', one of 'F', 'M'; got 'male'"),
    ],
)
def test_cells_that_cannot_be_used(row, said):
    with pytest.raises(CrossDError, match=said):
        Covariates.of(card()).joined(torch.tensor([0.5, 0.5]), row)


def test_columns_are_numbers_or_texts():
    rows = [{"age": "60", "site": "2", "arm": "b"}, {"age": "61.5", "site": "1", "arm": "2"}]
    assert columns_of(rows, ["age", "site", "arm"]) == {"age": None, "site": None, "arm": ["2", "b"]}


def written(folder, *lines):
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return str(folder / "table.csv")


def test_cases_find_their_rows_by_their_images(tmp_path):
    """Relative to the table, or to the folder of the images; what is missing costs the case, not the run."""
    images = tmp_path / "scans"
    images.mkdir()
    path = written(tmp_path, "Scan,age,sex", "a.nii,60,F", "scans/b.nii,,F", "c.nii,50,X", "d.nii,40,M")
    table = CovariateTable(path, card(), str(images))
    items = [{"case": name, "source": str(images / f"{name}.nii"), "image": [name]} for name in "abcde"]
    items.append({"case": "f", "source": "f", "error": "cut"})
    found = CaseDataset(items, dict, table).data
    assert (found[0]["covariates"], found[3]["covariates"]["age"]) == ({"age": "60", "sex": "F"}, "40")
    errors = [item.get("error", "") for item in found]
    assert "'age', a number; got nothing" in errors[1]
    assert "'sex', one of 'F', 'M'; got 'X'" in errors[2]
    assert "needs a row of each image" in errors[4]
    assert errors[5] == "cut"
    assert CovariateTable(None, card(), path).rows.keys() == CovariateTable(path, card()).rows.keys()
    assert case_key(found[0]) != case_key({**found[0], "covariates": {"age": "61", "sex": "F"}})


@pytest.mark.parametrize(
    ("lines", "of", "said"),
    [
        (None, card(), r"needs age, sex of each case beside its image, got no table\. Pass --covariates FILE\.csv"),
        (["image,age,sex", "a,1,F"], {"task": "multiclass"}, r"takes nothing but images, got --covariates .*Leave it"),
        (["file,age", "a,1"], card(), r"has the columns Scan, age, sex; .* lacks Scan, sex, it has 'file', 'age'"),
        (["image,age,sex", "a,1,F", "a,2,F"], card(), r"Every image has one row, got in .*line 3: .*Drop the other"),
    ],
)
def test_tables_that_are_refused(tmp_path, lines, of, said):
    with pytest.raises(CrossDError, match=said):
        CovariateTable(None if lines is None else written(tmp_path, *lines), of)


def test_a_model_on_files_says_what_the_probe_said_and_needs_its_table(run, tmp_path):
    """Probe, predict and evaluate, as a user does it: volumes of noise, and a column that tells all."""
    rng = np.random.default_rng(0)
    lines = ["Scan,Dx,age,sex,split"]
    for case in range(18):
        voxels = rng.normal(100, 5, (8, 8, 8)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / f"c{case:02}.nii.gz")
        age = 40 + 15 * (case % 2) + rng.normal()
        lines.append(f"c{case:02}.nii.gz,{['well', 'ill'][case % 2]},{age:.1f},{'FM'[case % 3 == 0]},")
        lines[-1] += "test" if case >= 12 else "train"
    path = written(tmp_path, *lines)
    columns = {"image": "Scan", "label": "Dx"}
    given = {"images": str(tmp_path), "labels": path, **columns, "covariates": "age,sex", "views": ["slices"]}
    folder = run(**given, folds=2, strengths=[0.01, 0.1])
    model = folder / "model.pt"
    entry = read_card(model)["covariates"]
    assert (entry["columns"], entry["image"]) == (GIVEN, ["Scan"])
    assert {"slices", "slices + covariates"} == {row["candidate"] for row in csv_rows(folder / "choice.csv")}
    assert "age, sex of each case: crossd predict --covariates TABLE" in (folder / "report.html").read_text("utf-8")
    told = {row["case"]: row for row in csv_rows(folder / "predictions.csv")}
    assert all(row["label"] == row["predicted"] for row in told.values())
    (tmp_path / "table.csv").write_text("\n".join(lines[:18]) + "\n")  # the last case has no row
    options = {"images": tmp_path, "weights": model, "report": False, "device": "cpu", "evidence": "windows"}
    run_config("inference", **options, output_dir=tmp_path / "answers", covariates=path)
    answers = {row["case"]: row for row in csv_rows(tmp_path / "answers" / "predictions.csv")}
    assert (answers["c17"]["status"], "has none in" in answers["c17"]["reason"]) == ("failed", True)
    for case in {*told} - {"c17"}:
        assert float(answers[case]["probability_ill"]) == pytest.approx(float(told[case]["probability_ill"]), abs=1e-3)
    refused(lambda: run_config("inference", **options, output_dir=tmp_path / "none"), "needs age, sex of each case")
    run_config("train", "evaluate", output_dir=folder, bootstrap_samples=100, device="cpu")
    judged = {row["case"]: row for row in csv_rows(folder / "evaluation" / "predictions.csv")}
    for case, row in told.items():
        assert float(judged[case]["probability_ill"]) == pytest.approx(float(row["probability_ill"]), abs=1e-3)
    with pytest.raises(
        CrossDError, match=r"An export is a network, .* has the columns age, sex after it\. Run it by cro"
    ):
        Trained.read(model, tmp_path)
