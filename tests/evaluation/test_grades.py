"""Grades: figures are those of scikit-learn and scipy, the median has the least error, and two runs differ by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crossd.cards.operating_point import OperatingPoint
from crossd.errors import CrossDError
from crossd.evaluation import Predictions, evaluate
from crossd.evaluation.comparing import compare, differences, read_evaluation
from crossd.evaluation.grades import expected_grades, grade_metrics, said_and_true
from crossd.evaluation.tables import write_tables

NAMES = ["0", "1", "2", "3"]


def made(seed=0, cases=60, sure=2.0, patients=None):
    """Probabilities that lean to the true grade."""
    rng = np.random.default_rng(seed)
    true = np.arange(cases) % 4
    logits = rng.normal(size=(cases, 4)) - sure * np.abs(np.arange(4) - true[:, None])
    chances = torch.from_numpy(logits).softmax(1)
    return Predictions.of(chances, torch.eye(4)[true], NAMES, "ordinal")


def test_figures_are_those_of_scikit_learn_and_scipy():
    from scipy.stats import spearmanr
    from sklearn import metrics

    for seed in range(4):
        predictions = made(seed, sure=0.5)
        said, true = said_and_true(predictions)
        found = grade_metrics(predictions)
        assert found["quadratic_kappa"] == pytest.approx(metrics.cohen_kappa_score(true, said, weights="quadratic"))
        assert found["mae"] == pytest.approx(metrics.mean_absolute_error(true, said))
        assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(true, said))
        assert found["accuracy"] == pytest.approx(metrics.accuracy_score(true, said))
        assert found["spearman"] == pytest.approx(spearmanr(true, expected_grades(predictions))[0])
        assert found["loss"] == pytest.approx(metrics.log_loss(true, predictions.probabilities))


def test_no_answer_has_a_smaller_expected_error_than_the_median():
    chances = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(5), 200))
    said = OperatingPoint("ordinal", tuple("abcde")).decide(chances.numpy()).argmax(1)
    steps = np.abs(np.arange(5)[:, None] - np.arange(5))
    expected = chances.numpy() @ steps
    assert np.allclose(expected[range(200), said], expected.min(1))
    assert (said != chances.numpy().argmax(1)).any()


def test_one_grade_alone_has_no_kappa():
    same = torch.eye(3)[[1, 1]]
    found = evaluate(Predictions.of(same, same, ["0", "1", "2"], "ordinal"), 100)["metrics"]
    assert (found["quadratic_kappa"]["value"], found["spearman"]["value"], found["mae"]["value"]) == (None, None, 0)


def write(folder, predictions):
    folder.mkdir()
    write_tables(folder, evaluate(predictions, 100), predictions)
    return folder


def numbers(noise, seed=0):
    rng = np.random.default_rng(seed)
    true = torch.arange(60.0, dtype=torch.float64)[:, None]
    return Predictions.of(true + noise * torch.from_numpy(rng.normal(size=(60, 1))), true, ["ml"], "regression")


@pytest.mark.parametrize(
    ("first", "second"), [(made(sure=0.3), made(sure=3.0)), (numbers(9.0), numbers(1.0))], ids=["grades", "numbers"]
)
def test_two_runs_are_told_apart_by_the_mean_absolute_error(first, second, tmp_path):
    """The interval is that of the paired differences of each case, for every patient has one."""
    one, other = write(tmp_path / "one", first), write(tmp_path / "other", second)
    read = read_evaluation(one)
    torch.testing.assert_close(read.probabilities, first.probabilities, atol=1e-4, rtol=0)
    said = compare(one, other, tmp_path / "both", 100).splitlines()[-1]
    assert said.startswith("The second run is better: MAE ")
    assert compare(other, one, tmp_path / "back", 100).splitlines()[-1].startswith("The second run is worse: MAE ")
    assert (tmp_path / "both" / "comparison.png").stat().st_size > 5000
    if first.task == "regression":
        each = [(run.probabilities - run.targets).abs()[:, 0].numpy() for run in (first, second)]
    else:
        each = [np.abs(np.subtract(*said_and_true(run))) for run in (first, second)]
    change = each[1] - each[0]
    found = differences(first, second, lambda run: {"mae": evaluate_mae(run)}, samples=300)["mae"][2]
    assert found.value == pytest.approx(change.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * change.std() / np.sqrt(60), rel=0.2)


def evaluate_mae(run):
    from crossd.evaluation.intervals import figures_of

    return figures_of(run)["mae"]


def test_runs_of_other_tasks_are_not_compared(tmp_path):
    one, other = write(tmp_path / "one", made()), write(tmp_path / "other", numbers(1.0))
    with pytest.raises(CrossDError, match=r"Two runs of one task are compared: .*one is of ordinal, .*other of regr"):
        compare(one, other, tmp_path / "both")
