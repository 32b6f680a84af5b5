"""Training on grades: the loss is least at the true probabilities, and a run is chosen, judged and answers by steps."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import torch
from crossd.checkpoints import read_card
from crossd.errors import CrossDError
from crossd.evaluation import Predictions
from crossd.folds import judged
from crossd.training.loss import ThresholdEntropy, classification_loss

from ..configs import csv_rows, run


def by_definition(logits, target, weights=None):
    chances = logits.softmax(1)
    total, share = 0.0, 0.0
    for row, true in zip(chances, target.tolist(), strict=True):
        above = [float(row[k + 1 :].sum()) for k in range(len(row) - 1)]
        each = np.mean([-np.log(p if true > k else 1 - p) for k, p in enumerate(above)])
        weight = 1.0 if weights is None else float(weights[true])
        total, share = total + weight * each, share + weight
    return total / share


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5, 3.0])])
def test_it_is_the_cross_entropy_of_each_threshold(weights):
    logits, target = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 4
    found = float(ThresholdEntropy(weight=weights)(logits, target))
    assert found == pytest.approx(by_definition(logits, target, weights), rel=1e-5)


def test_the_true_probabilities_have_the_least_expected_loss():
    chances = torch.tensor([0.1, 0.2, 0.4, 0.3])
    logits = torch.zeros(1, 4, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")
    loss = ThresholdEntropy()

    def step():
        optimizer.zero_grad()
        cost = sum(share * loss(logits, torch.tensor([grade])) for grade, share in enumerate(chances))
        cost.backward()
        return cost

    optimizer.step(step)
    torch.testing.assert_close(logits.detach().softmax(1)[0], chances, atol=1e-3, rtol=0)


def test_large_logits_give_finite_losses_and_gradients():
    logits = torch.tensor([[300.0, -300.0, 0.0]], requires_grad=True)
    loss = ThresholdEntropy()(logits, torch.tensor([2]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
    assert logits.grad[0, 0] > 0


def test_options_of_other_tasks():
    loss = classification_loss([0, 1, 2, 2], ["0", "1", "2"], "ordinal")
    assert isinstance(loss, ThresholdEntropy)
    assert loss.weight.tolist() == pytest.approx([4 / 3, 4 / 3, 2 / 3])
    with pytest.raises(CrossDError, match=r"label_smoothing is for multiclass only, got 0\.1"):
        classification_loss([0, 1, 2], ["0", "1", "2"], "ordinal", label_smoothing=0.1)


def test_what_folds_said_is_judged_by_steps():
    targets = torch.eye(3)[[0, 1, 2] * 8].double()
    report = judged(Predictions.of(targets, targets, ["0", "1", "2"], "ordinal"), [0] * 12 + [1] * 12, samples=100)
    assert (report["folds"], report["metrics"]["mae"]["value"], "auc_within_folds" in report["metrics"]) == (
        2,
        0,
        False,
    )


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """24 volumes with a bright slab, and a grade by its thickness."""
    folder = tmp_path_factory.mktemp("slabs")
    rng = np.random.default_rng(0)
    lines = ["image,stage,patient,sex"]
    for case in range(24):
        voxels = rng.normal(100, 5, (9, 8, 8)).astype(np.float32)
        voxels[:, : 1 + 2 * (case % 4)] += 80
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / f"c{case:02}.nii.gz")
        lines.append(f"c{case:02}.nii.gz,{case % 4},p{case},{'fm'[case % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def train(volumes, output_dir, **options):
    given = {"labels": volumes / "labels.csv", "label": "stage", "task": "ordinal", "weights": "none"}
    small = {"roi_size": [8, 8, 8], "depth": 10, "width": 4, "batch_size": 6, "tensorboard": False, "device": "cpu"}
    rates = {"learning_rate": 0.01, "flip_axes": [], "affine_prob": 0.0, "split_fractions": [0.5, 0.25, 0.25]}
    run("train", **{**small, **rates, **given, "output_dir": output_dir, **options})


def test_a_run_is_chosen_evaluated_and_answers_by_grades(volumes, tmp_path):
    train(volumes, tmp_path / "out", epochs=6)
    card = read_card(tmp_path / "out" / "model.pt")
    assert (card["task"], card["class_names"], card["operating_point"]) == ("ordinal", ["0", "1", "2", "3"], None)
    rows = csv_rows(tmp_path / "out" / "metrics.csv")
    best = min(rows, key=lambda row: float(row["val_mae"]))
    assert (card["metrics"]["epoch"], card["metrics"]["val_mae"]) == (
        int(best["epoch"]),
        pytest.approx(float(best["val_mae"]), rel=1e-4),
    )
    options = {"split": "all", "by": ["sex"], "bootstrap_samples": 100, "device": "cpu"}
    run("train", "evaluate", output_dir=tmp_path / "out", **options)
    folder = tmp_path / "out" / "evaluation"
    report = json.loads((folder / "metrics.json").read_text())
    assert (report["mae_of_median"], report["metrics"]["mae"]["value"] < 1.0) == (1.0, True)
    page = (folder / "evaluation.html").read_text(encoding="utf-8")
    assert "Grades are off by" in page
    assert "The largest errors" in page
    assert "quadratic_kappa" in csv_rows(folder / "subgroups.csv")[0]
    given = {"images": volumes, "weights": tmp_path / "out" / "model.pt", "output_dir": tmp_path / "answers"}
    run("inference", **given, evidence="windows", report=False, device="cpu")
    said = {row["case"]: row["predicted"] for row in csv_rows(folder / "predictions.csv")}
    assert {row["case"]: row["predicted_class"] for row in csv_rows(tmp_path / "answers" / "predictions.csv")} == said


@pytest.mark.slow
def test_folds_end_in_one_model(volumes, tmp_path):
    train(volumes, tmp_path / "folds", epochs=2, folds=2)
    report = json.loads((tmp_path / "folds" / "out_of_fold" / "metrics.json").read_text())
    assert (report["cases"], report["folds"]) == (24, 2)
    header = csv_rows(tmp_path / "folds" / "out_of_fold" / "folds.csv")[0]
    assert {"quadratic_kappa", "mae", "mae_of_median"} <= {*header}
    card = read_card(tmp_path / "folds" / "model.pt")
    assert (card["task"], card["network"]["exclusive"], {*card["metrics"]}) == (
        "ordinal",
        True,
        {"quadratic_kappa", "mae", "balanced_accuracy"},
    )
