"""Metrics against values worked by hand, and the laws they obey."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from crossd.cards.operating_point import OperatingPoint
from crossd.errors import CrossDError
from crossd.evaluation import Predictions, evaluate
from crossd.evaluation.metrics import calibration, class_aucs, classification_metrics, majority_rate
from crossd.evaluation.validation import NegativeLogLikelihood, PresentClassAUC

# five cases of three classes; predicted a, a, b, b, c; true a, b, b, b, a
PROBABILITIES = torch.tensor(
    [[0.75, 0.15, 0.10], [0.55, 0.35, 0.10], [0.25, 0.65, 0.10], [0.05, 0.85, 0.10], [0.12, 0.13, 0.75]]
)
TARGETS = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]])
NAMES = ["a", "b", "c"]


def test_multiclass_by_hand():
    metrics = classification_metrics(Predictions.of(PROBABILITIES, TARGETS, NAMES, "multiclass"))
    assert metrics["auc_a"] == pytest.approx(4 / 6)  # 0.75 beats all three, 0.12 beats 0.05 only
    assert metrics["auc_b"] == pytest.approx(6 / 6)  # 0.35, 0.65 and 0.85 all beat 0.15 and 0.13
    assert math.isnan(metrics["auc_c"])  # no case of c
    assert metrics["auc"] == pytest.approx((4 / 6 + 1) / 2)
    assert metrics["accuracy"] == pytest.approx(3 / 5)
    assert metrics["sensitivity_a"] == pytest.approx(1 / 2)
    assert metrics["sensitivity_b"] == pytest.approx(2 / 3)
    assert math.isnan(metrics["sensitivity_c"])
    assert metrics["specificity_a"] == pytest.approx(2 / 3)
    assert metrics["specificity_b"] == pytest.approx(2 / 2)
    assert metrics["specificity_c"] == pytest.approx(4 / 5)
    assert metrics["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    # confidences 0.75 (right), 0.55 (wrong), 0.65 (right), 0.85 (right), 0.75 (wrong); bins of 0.1
    assert metrics["calibration_error"] == pytest.approx((2 * 0.25 + 0.55 + 0.35 + 0.15) / 5)
    assert metrics["brier"] == pytest.approx(
        ((0.25**2 + 0.15**2 + 0.1**2) + (0.55**2 + 0.65**2 + 0.1**2) + (0.25**2 + 0.35**2 + 0.1**2)
         + (0.05**2 + 0.15**2 + 0.1**2) + (0.88**2 + 0.13**2 + 0.75**2)) / 5
    )  # fmt: skip


def test_multilabel_by_hand():
    probabilities = torch.tensor([[0.9, 0.4], [0.6, 0.6], [0.2, 0.7], [0.1, 0.1]])
    targets = torch.tensor([[1, 1], [0, 1], [1, 0], [0, 0]])
    metrics = classification_metrics(Predictions.of(probabilities, targets, ["x", "y"], "multilabel"))
    assert metrics["auc_x"] == pytest.approx(3 / 4)  # 0.9 beats both, 0.2 beats 0.1
    assert metrics["auc_y"] == pytest.approx(2 / 4)  # 0.4 and 0.6 beat 0.1 only
    assert metrics["accuracy"] == pytest.approx(4 / 8)
    assert [metrics[f"{kind}_{name}"] for name in "xy" for kind in ("sensitivity", "specificity")] == [0.5] * 4
    assert metrics["balanced_accuracy"] == pytest.approx(0.5)
    squares = [0.1**2, 0.6**2, 0.6**2, 0.4**2, 0.8**2, 0.7**2, 0.1**2, 0.1**2]
    assert metrics["brier"] == pytest.approx(sum(squares) / 8)
    x = (0.1 + 0.6 + 0.8 + 0.1) / 4
    y = (0.6 + 0.4 + 0.7 + 0.1) / 4
    assert metrics["calibration_error"] == pytest.approx((x + y) / 2)


def test_auc_counts_ordered_pairs():
    torch.manual_seed(1)
    scores = torch.randint(0, 8, (60,)) / 8  # with ties
    target = torch.randint(0, 2, (60,))
    positive, negative = scores[target == 1], scores[target == 0]
    pairs = (positive[:, None] > negative[None]).double() + 0.5 * (positive[:, None] == negative[None]).double()
    assert class_aucs(scores[:, None], target[:, None])[0] == pytest.approx(float(pairs.mean()))


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_perfect_classifier(task):
    targets = torch.eye(3).repeat(4, 1)
    metrics = classification_metrics(Predictions.of(targets.clone(), targets, NAMES, task))
    for name, value in metrics.items():
        assert value == pytest.approx(0 if name in ("brier", "calibration_error", "loss") else 1, abs=1e-6), name


def test_calibrated_probabilities_have_no_error():
    rng = np.random.default_rng(0)
    probability = torch.as_tensor(rng.uniform(0, 1, 40000))
    targets = torch.as_tensor(rng.uniform(0, 1, 40000)) < probability
    said, true = torch.stack([1 - probability, probability], 1), torch.stack([~targets, targets], 1)
    metrics = classification_metrics(Predictions.of(said, true, ["n", "p"], "multiclass"))
    assert metrics["calibration_error"] < 0.01
    assert metrics["brier"] == pytest.approx(1 / 3, abs=0.01)  # 2 * E[p (1 - p)]


def test_calibration_bins_hold_every_case():
    mean, rate, count = calibration(PROBABILITIES, TARGETS, "multiclass")
    assert count.sum() == 5
    assert mean[0, 7] == pytest.approx(0.75)
    assert rate[0, 7] == pytest.approx(0.5)
    assert calibration(PROBABILITIES, TARGETS, "multilabel")[2].sum(1).tolist() == [5, 5, 5]


def test_majority_rate():
    assert majority_rate(TARGETS, "multiclass") == pytest.approx(3 / 5)
    assert majority_rate(TARGETS, "multilabel") == pytest.approx((3 / 5 + 3 / 5 + 1) / 3)


def test_validation_auc_over_batches_with_a_class_missing():
    metric = PresentClassAUC()
    metric(PROBABILITIES[:2], TARGETS[:2])
    metric(PROBABILITIES[2:], TARGETS[2:])
    assert metric.aggregate() == pytest.approx((4 / 6 + 1) / 2)
    metric.reset()
    metric(PROBABILITIES[1:4], TARGETS[1:4])  # b only
    assert math.isnan(metric.aggregate())


def test_negative_log_likelihood():
    metric = NegativeLogLikelihood("multiclass")
    metric(PROBABILITIES, TARGETS)
    expected = -sum(map(math.log, [0.75, 0.35, 0.65, 0.85, 0.12])) / 5
    assert metric.aggregate() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(
        torch.tensor(metric.aggregate(), dtype=torch.float64),
        torch.nn.functional.nll_loss(PROBABILITIES.double().log(), TARGETS.argmax(1)),
    )
    metric = NegativeLogLikelihood("multilabel")
    metric(PROBABILITIES, TARGETS)
    bce = torch.nn.functional.binary_cross_entropy(PROBABILITIES.double(), TARGETS.double())
    assert metric.aggregate() == pytest.approx(float(bce), rel=1e-6)
    metric.reset()
    metric(torch.tensor([[1.0, 0.0]]), torch.tensor([[0, 1]]))
    assert math.isfinite(metric.aggregate())


def test_two_classes_are_told_once_and_as_scikit_learn_has_them():
    """At a threshold of its own, with ties: what is said, its counts and its curves."""
    from sklearn import metrics as reference

    rng = np.random.default_rng(3)
    ill = rng.integers(0, 2, 60)
    chance = np.clip(np.round(rng.normal(0.35 + 0.2 * ill, 0.2), 1), 0.05, 0.95)
    said, true = (torch.from_numpy(np.stack([1 - one, one], 1)) for one in (chance, ill))
    point = OperatingPoint("multiclass", ("well", "ill"), 0, {"ill": 0.35})
    found = classification_metrics(
        replace(Predictions.of(said, true, ["well", "ill"], "multiclass"), operating_point=point)
    )
    decided = (chance >= 0.35).astype(int)
    assert not [name for name in found if name.endswith(("_well", "_ill"))]
    expected = {
        "auc": reference.roc_auc_score(ill, chance),
        "average_precision": reference.average_precision_score(ill, chance),
        "sensitivity": reference.recall_score(ill, decided),
        "specificity": reference.recall_score(ill, decided, pos_label=0),
        "ppv": reference.precision_score(ill, decided),
        "npv": reference.precision_score(ill, decided, pos_label=0),
        "f1": reference.f1_score(ill, decided),
        "balanced_accuracy": reference.balanced_accuracy_score(ill, decided),
        "accuracy": reference.accuracy_score(ill, decided),
        "mcc": reference.matthews_corrcoef(ill, decided),
        "brier": 2 * reference.brier_score_loss(ill, chance),
        "loss": reference.log_loss(ill, chance),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_several_classes_as_scikit_learn_has_them():
    from sklearn import metrics as reference

    rng = np.random.default_rng(4)
    label = rng.integers(0, 3, 50)
    said = rng.dirichlet([1, 1, 1], 50) + np.eye(3)[label] * 0.3
    said /= said.sum(1, keepdims=True)
    point = OperatingPoint("multiclass", tuple(NAMES), thresholds={"b": 0.2})
    predictions = Predictions.of(torch.from_numpy(said), torch.eye(3)[torch.from_numpy(label)], NAMES, "multiclass")
    found = classification_metrics(replace(predictions, operating_point=point))
    assert found["auc"] == pytest.approx(reference.roc_auc_score(label, said, multi_class="ovr"))
    assert found["average_precision"] == pytest.approx(reference.average_precision_score(np.eye(3)[label], said))
    assert found["f1"] == pytest.approx(reference.f1_score(label, said.argmax(1), average="macro"))
    assert found["mcc"] == pytest.approx(reference.matthews_corrcoef(label, said.argmax(1)))
    assert found["ppv_c"] == pytest.approx(reference.precision_score(label == 2, said.argmax(1) == 2))
    assert found["sensitivity_at_threshold_b"] == pytest.approx(reference.recall_score(label == 1, said[:, 1] >= 0.2))


def test_predictive_values_elsewhere_are_those_of_a_sample_with_that_prevalence():
    rng = np.random.default_rng(5)
    ill = np.repeat([0, 1], [900, 100])  # one in ten, as is asked for
    chance = np.clip(rng.normal(0.4 + 0.2 * ill, 0.2), 0, 1)
    made = Predictions.of(*(torch.from_numpy(np.stack([1 - one, one], 1)) for one in (chance, ill)), "ab", "multiclass")
    found = classification_metrics(made, prevalence=0.1)
    assert (found["ppv_at_prevalence"], found["npv_at_prevalence"]) == pytest.approx((found["ppv"], found["npv"]))
    rare = classification_metrics(made, prevalence=0.01)
    assert rare["ppv_at_prevalence"] < found["ppv"]
    with pytest.raises(CrossDError, match=r"prevalence is a share between 0 and 1 .* got 1\.5 .*--prevalence 0\.05"):
        evaluate(made, 100, prevalence=1.5)
    with pytest.raises(CrossDError, match=r"got 0\.1 for the classes a, b, c"):
        evaluate(Predictions.of(PROBABILITIES, TARGETS, NAMES, "multiclass"), 100, prevalence=0.1)
