"""The law: the interval covers the true value about as often as it says, and patients are drawn whole."""

from __future__ import annotations

import numpy as np
import pytest
from crossd.errors import CrossDError
from crossd.evaluation.bootstrap import bootstrap_intervals


@pytest.mark.slow
def test_coverage_of_a_mean():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        values = rng.normal(3.0, 1.0, 60)
        intervals = bootstrap_intervals(
            lambda drawn, values=values: {"mean": float(values[drawn].mean())}, [str(i) for i in range(60)], 200, trial
        )
        low, high = intervals["mean"]
        covered += low <= 3.0 <= high
    assert 180 <= covered <= 199  # 95 % of 200 within three standard errors, less the bootstrap's small-sample bias


def test_width_is_that_of_the_standard_error():
    values = np.random.default_rng(1).normal(0, 1, 400)
    low, high = bootstrap_intervals(
        lambda drawn: {"mean": float(values[drawn].mean())}, [str(i) for i in range(400)], 2000
    )["mean"]
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)


def test_cases_of_a_patient_are_drawn_together():
    patients = ["a", "a", "a", "b", "c", "c"]
    sizes = {"a": 3, "b": 1, "c": 2}

    def whole(drawn):
        for patient, size in sizes.items():
            times = [int((drawn == i).sum()) for i, p in enumerate(patients) if p == patient]
            assert len(times) == size
            assert len(set(times)) == 1
        return {"cases": float(len(drawn))}

    assert bootstrap_intervals(whole, patients)["cases"] == (3.0, 9.0)


def test_repeated_scans_of_a_patient_add_no_certainty():
    values = np.random.default_rng(2).normal(0, 1, 50)

    def width(repeats):
        patients = [str(i) for i in range(50) for _ in range(repeats)]
        many = np.repeat(values, repeats)
        low, high = bootstrap_intervals(lambda drawn: {"mean": float(many[drawn].mean())}, patients)["mean"]
        return high - low

    assert width(5) == pytest.approx(width(1))


def test_draws_without_a_value_are_left_out():
    label = np.array([1] + [0] * 9)

    def statistic(drawn):
        return {"rare": 1.0 if label[drawn].any() else float("nan"), "never": float("nan")}

    assert bootstrap_intervals(statistic, list("abcdefghij")) == {"rare": (1.0, 1.0), "never": None}


def test_the_seed_decides():
    values = np.arange(20.0)
    one, same, other = (
        bootstrap_intervals(lambda d: {"m": float(values[d].mean())}, [str(i) for i in range(20)], 100, seed)
        for seed in (0, 0, 1)
    )
    assert one == same != other


def test_bad_arguments():
    with pytest.raises(CrossDError, match=r"at least 100 bootstrap samples, got 10\. Pass 1000"):
        bootstrap_intervals(lambda drawn: {}, ["a"], samples=10)
