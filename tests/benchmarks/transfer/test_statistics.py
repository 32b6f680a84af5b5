"""The comparison against hand-computed cases and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crossd.errors import CrossDError
from crossd.evaluation.metrics import class_aucs, nan_mean

from scripts.benchmarks.runs.statistics import holm
from scripts.benchmarks.transfer import paired_difference
from scripts.benchmarks.transfer.statistics import weighted_aucs
from scripts.benchmarks.transfer.tables import metrics_of
from scripts.benchmarks.transfer.tested import Tested, from_json, to_json


def made(labels, scores, patients=None) -> Tested:
    scores = np.asarray(scores, float)
    labels = np.asarray(labels)
    logits = np.log(np.stack([1 - scores, scores], 1))
    return Tested(labels, logits, tuple(patients or map(str, range(len(labels)))))


def noisy(seed, signal, cases=60):
    random = np.random.default_rng(seed)
    labels = np.arange(cases) % 2
    return made(labels, 1 / (1 + np.exp(-(signal * labels + random.normal(size=cases)))))


@pytest.mark.parametrize("classes", [2, 4])
def test_the_auc_is_that_of_the_evaluation(classes):
    random = np.random.default_rng(classes)
    labels = random.integers(classes, size=50)
    logits = np.repeat(random.normal(size=(10, classes)), 5, axis=0)  # with equals
    run = Tested(labels, logits, tuple(map(str, range(50))))
    targets = torch.nn.functional.one_hot(torch.from_numpy(labels), classes)
    expected = nan_mean(class_aucs(torch.from_numpy(logits).softmax(1), targets))
    assert weighted_aucs(run, np.ones((1, 50)))[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_sure_networks_keep_their_order(classes):
    """Margins of 13 and above are probabilities that round to 1: a run that ranks every case rightly has AUC 1."""
    logits = np.zeros((6, classes))
    logits[:, 1] = [13, 14, 15, 40, 50, 60]
    run = from_json(to_json(Tested(np.array([0, 0, 0, 1, 1, 1]), logits, tuple("abcdef"))))
    assert len(set(run.probabilities[:, 1].astype(np.float32))) < 6
    assert weighted_aucs(run, np.ones((1, 6)))[0] == metrics_of(run)["auc"] == 1


def test_a_weight_counts_a_case_several_times():
    run = noisy(0, 0.5, 12)
    weights = np.array([0, 1, 2, 3] * 3)
    repeated = np.repeat(np.arange(12), weights)
    copied = made(run.labels[repeated], run.probabilities[repeated, 1])
    assert weighted_aucs(run, weights[None])[0] == pytest.approx(weighted_aucs(copied, np.ones((1, 18)))[0])


def test_no_difference():
    gap = paired_difference([noisy(0, 1)] * 3, [noisy(0, 1)] * 3)
    assert (gap.value, gap.low, gap.high, gap.p) == (0, 0, 0, 1)


def test_a_clear_difference():
    better, worse = [noisy(s, 4) for s in range(5)], [noisy(s + 9, 0) for s in range(5)]
    gap = paired_difference(better, worse)
    assert gap.p == pytest.approx(2 / 2001)
    assert 0 < gap.low < gap.value < gap.high
    back = paired_difference(worse, better)
    assert back.value == pytest.approx(-gap.value)
    assert back.p == pytest.approx(gap.p)


def test_the_difference_is_that_of_the_mean_aucs():
    one, other = [noisy(s, 1) for s in range(3)], [noisy(s + 9, 0.5) for s in range(3)]
    whole = np.ones((1, 60))
    aucs = [[weighted_aucs(run, whole)[0] for run in side] for side in (one, other)]
    assert paired_difference(one, other).value == pytest.approx(np.mean(aucs[0]) - np.mean(aucs[1]))


def test_cases_as_scipy_draws_them():
    """With one seed only cases are drawn: the interval is scipy's paired percentile bootstrap."""
    from scipy.stats import bootstrap

    one, other = noisy(1, 1.5), noisy(2, 1.0)

    def auc(labels, scores):
        return (scores[labels == 1][:, None] > scores[labels == 0]).mean()

    found = bootstrap(
        (one.labels, one.probabilities[:, 1], other.probabilities[:, 1]),
        lambda labels, a, b: auc(labels, a) - auc(labels, b),
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=2000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    gap = paired_difference([one], [other], samples=4000)
    assert gap.low == pytest.approx(found.low, abs=0.02)
    assert gap.high == pytest.approx(found.high, abs=0.02)


def test_seeds_as_scipy_draws_them():
    """Perfect or reversed runs: cases do not matter, and the interval is that of the mean over seeds."""
    from scipy.stats import bootstrap

    labels = np.arange(40) % 2
    right, wrong = made(labels, 0.25 + labels / 2), made(labels, 0.75 - labels / 2)
    one, other = [right] * 8, [right] * 3 + [wrong] * 5
    gaps = np.array([0.0] * 3 + [1.0] * 5)
    found = bootstrap((gaps,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(0))
    gap = paired_difference(one, other, samples=4000)
    assert gap.value == pytest.approx(5 / 8)
    assert gap.low == pytest.approx(found.confidence_interval.low, abs=0.13)  # values go in steps of 1/8
    assert gap.high == pytest.approx(found.confidence_interval.high, abs=0.13)


def test_patients_are_drawn_whole():
    """Copies of each case under its patient's name bring no certainty; under new names they would."""
    one, other = noisy(1, 1.2, 30), noisy(5, 0.8, 30)

    def five(run, names):
        return made(np.tile(run.labels, 5), np.tile(run.probabilities[:, 1], 5), names)

    def width(names):
        gap = paired_difference([five(one, names)], [five(other, names)])
        return gap.high - gap.low

    single = paired_difference([one], [other])
    assert width([str(i) for i in range(30)] * 5) == pytest.approx(single.high - single.low, rel=0.15)
    assert width(None) < 0.6 * (single.high - single.low)


def test_unequal_runs_are_refused():
    with pytest.raises(CrossDError, match="same seeds and test cases; got 2 and 1 runs"):
        paired_difference([noisy(0, 1)] * 2, [noisy(0, 1)])
    with pytest.raises(CrossDError, match="same seeds and test cases"):
        paired_difference([noisy(0, 1)], [made([1] * 60, np.zeros(60))])


def test_folds_have_cases_of_their_own():
    one = [noisy(0, 2, 40), noisy(1, 2, 44)]
    other = [noisy(5, 0, 40), noisy(6, 0, 44)]
    assert paired_difference(one, other).p < 0.05


def test_holm_by_hand():
    """Smallest times 4, next times 3 …, never decreasing, at most 1."""
    assert holm({"a": 0.02, "b": 0.005, "c": 0.03, "d": 0.6}) == {"a": 0.06, "b": 0.02, "c": 0.06, "d": 0.6}
    assert holm({"a": 0.5, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
