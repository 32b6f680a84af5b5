"""One temperature, or curves: what may not change, what is repaired, and that few cases do not make them bold."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from crossd.cards.after_image import after_image
from crossd.cards.rules import check_card
from crossd.checkpoints import read_card, read_checkpoint
from crossd.errors import CrossDError
from crossd.evaluation.metrics import calibration_error, class_aucs
from crossd.export.trained import Trained
from crossd.inference.window_map import WindowEvidence
from crossd.training.calibration import by_isotonic, calibrated, case_probabilities, fit_temperature

from ..configs import csv_rows, cubes, refused, run


def evidence(logits, task="multiclass", windows=1):
    """Of cases that say these logits in each window."""
    said = logits.softmax(1) if task == "multiclass" else logits.sigmoid()
    place = torch.arange(windows)[:, None]
    return [WindowEvidence(row.repeat(windows, 1), place, (1,), (windows,), (0,)) for row in said.float()]


def drawn(cases, task, seed=0):
    """Logits that are three times too sure of targets drawn by them."""
    torch.manual_seed(seed)
    true = torch.randn(cases, 3)
    if task == "multilabel":
        return 3 * true, torch.bernoulli(true.sigmoid()).long()
    return 3 * true, torch.nn.functional.one_hot(torch.multinomial(true.softmax(1), 1)[:, 0], 3)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_it_finds_how_much_too_sure_a_model_is(task):
    """Beside torch's LBFGS on the logits, as in the code of Guo et al.; Platt's rule counts little with many cases."""
    logits, targets = drawn(400, task)
    loss = (
        torch.nn.functional.cross_entropy
        if task == "multiclass"
        else torch.nn.functional.binary_cross_entropy_with_logits
    )
    temperature = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([temperature], max_iter=50)

    def closure():
        optimizer.zero_grad()
        value = loss(logits / temperature, targets.float())
        value.backward()
        return value

    optimizer.step(closure)
    found = fit_temperature(lambda degree: case_probabilities(evidence(logits, task), task, degree), targets, task)
    assert found == pytest.approx(temperature.item(), rel=0.05)
    assert found == pytest.approx(3, rel=0.2)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_head_says_what_the_temperature_says(task):
    logits, targets = drawn(60, task)
    state = {"fc.weight": logits.clone(), "fc.bias": torch.ones(3), "conv1.weight": torch.ones(2)}
    new, entry = calibrated(state, evidence(logits, task, windows=2), targets, task)
    scaled = evidence(new["fc.weight"], task)
    expected = case_probabilities(evidence(logits, task), task, entry["temperature"])
    torch.testing.assert_close(case_probabilities(scaled, task), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(new["conv1.weight"], state["conv1.weight"])
    assert entry["loss"]["after"] < entry["loss"]["before"]
    assert entry["calibration_error"]["after"] == pytest.approx(calibration_error(expected, targets, task), abs=1e-3)


def test_it_keeps_the_order_of_cases_and_their_answers():
    logits, targets = drawn(80, "multiclass")
    two, one_hot = logits[:, :2], torch.eye(2)[targets.argmax(1).clamp(max=1)].long()
    before, after = (case_probabilities(evidence(two), "multiclass", t) for t in (1.0, 2.5))
    assert class_aucs(after, one_hot) == pytest.approx(class_aucs(before, one_hot))
    assert torch.equal(after.argmax(1), before.argmax(1))


def test_a_few_right_answers_do_not_make_a_model_sure_of_everything():
    logits = torch.tensor([[1.0, -1.0]] * 3 + [[-1.0, 1.0]] * 3)
    targets = torch.eye(2).repeat_interleave(3, 0).long()
    found = case_probabilities(
        evidence(logits),
        "multiclass",
        fit_temperature(
            lambda degree: case_probabilities(evidence(logits), "multiclass", degree), targets, "multiclass"
        ),
    )
    assert float(found.max()) == pytest.approx(4 / 5, abs=1e-3)  # (3 + 1) / (3 + 2)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_curves_are_those_of_scikit_learn_and_repair_what_a_temperature_does(task):
    from sklearn.isotonic import isotonic_regression

    logits, targets = drawn(400, task)
    said = case_probabilities(evidence(logits, task), task)
    curves, entry = by_isotonic(evidence(logits, task), targets, task)
    found = curves(said)
    assert entry["calibration_error"]["after"] < 0.6 * entry["calibration_error"]["before"]
    assert entry["loss"]["after"] < entry["loss"]["before"]
    assert (found > 0).all()
    assert (found < 1).all()
    if task == "multilabel":
        order = said[:, 0].argsort()
        high, low = (targets[:, 0].sum() + 1) / (targets[:, 0].sum() + 2), 1 / (400 - targets[:, 0].sum() + 2)
        meant = np.where(targets[order, 0] == 1, high, low)
        np.testing.assert_allclose(found[order, 0], isotonic_regression(meant), atol=1e-6)
    else:
        torch.testing.assert_close(found.sum(1), torch.ones(400).double())
    names = list("abc")
    card = {"task": task, "class_names": names, "isotonic": json.loads(json.dumps(curves.entry(names)))}
    torch.testing.assert_close(torch.stack([after_image(card)(row, None) for row in said]), found)


@pytest.mark.parametrize(
    "entry",
    [
        {"healthy": [[0.0, 1.0], [0.1, 0.9]]},
        {"healthy": [[0.0, 1.0], [0.1, 0.9]], "aneurysm": [[0.0, 1.0], [0.9, 0.1]]},
        {"healthy": [[0.0, 1.0], [0.1, 0.9]], "aneurysm": [[1.0, 0.0], [0.1, 0.9]]},
        {"healthy": [[0.0, 1.0], [0.1, 0.9]], "aneurysm": [[0.0, 1.0], [0.0, 0.9]]},
        {"healthy": [[0.0, 1.0], [0.1, 0.9]], "aneurysm": [[0.0], [0.1, 0.9]]},
    ],
)
def test_curves_that_are_none(root, entry):
    card = read_card(root / "models" / "model.pt")
    good = {name: [[0.0, 1.0], [0.1, 0.9]] for name in card["class_names"]}
    named = dict(zip(["healthy", "aneurysm"], card["class_names"], strict=True))
    assert check_card({**card, "isotonic": good})
    with pytest.raises(CrossDError, match=r"`isotonic` of a checkpoint's card must be rising numbers, and as many in"):
        check_card({**card, "isotonic": {named[name]: value for name, value in entry.items()}})


def test_a_run_keeps_curves_in_its_card_and_answers_by_them(tmp_path):
    """Evaluation, which measures the validation cases, says what the card's entry says of them; predict does, too."""
    cubes(tmp_path, (9, 8, 7), splits=["train", "train", "val", "val"] * 6)
    given = {"images": tmp_path / "images", "labels": tmp_path / "labels.csv", "weights": "none", "batch_size": 6}
    small = {"roi_size": [8, 8, 8], "depth": 10, "width": 4, "tensorboard": False, "device": "cpu", "epochs": 2}
    folder = tmp_path / "out"
    run("train", **given, **small, calibration="isotonic", output_dir=folder)
    card, state = read_card(folder / "model.pt"), read_checkpoint(folder / "model.pt")["model"]
    assert {*card["isotonic"]} == {"cube", "empty"}
    assert "temperature" not in card["calibration"]
    run("train", "evaluate", output_dir=folder, split="val", bootstrap_samples=100, device="cpu")
    report = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert report["metrics"]["loss"]["value"] == pytest.approx(card["calibration"]["loss"]["after"], abs=1e-3)
    assert "isotonic, negative log-likelihood" in (folder / "evaluation" / "evaluation.html").read_text("utf-8")
    answers = {
        "images": tmp_path / "images",
        "output_dir": tmp_path / "answers",
        "report": False,
        "evidence": "windows",
    }
    run("inference", **answers, weights=folder / "model.pt", device="cpu")
    told = {row["case"]: row["probability_cube"] for row in csv_rows(tmp_path / "answers" / "predictions.csv")}
    for row in csv_rows(folder / "evaluation" / "predictions.csv"):
        assert float(told[row["case"]]) == pytest.approx(float(row["probability_cube"]), abs=1e-4)
    with pytest.raises(CrossDError, match=r"An export is a network, and .* has isotonic calibration after it"):
        Trained.read(folder / "model.pt", tmp_path)
    assert state["fc.bias"].isfinite().all()
    folds = {**given, **small, "folds": 2, "calibration": "isotonic", "output_dir": tmp_path / "folds"}
    refused(lambda: run("train", **folds), "got --calibration isotonic, which no ensemble keeps. Leave --folds out")
