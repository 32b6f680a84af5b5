"""Each aggregate against a plain loop over the windows, in Python floats."""

from __future__ import annotations

import math

import pytest
import torch
from crossd.errors import CrossDError
from crossd.inference import Aggregation


def pooled(column: list[float], method: str, top_k: int) -> float:
    if method == "mean":
        return math.fsum(column) / len(column)
    if method == "max":
        return max(column)
    if method == "top_k":
        largest = sorted(column, reverse=True)[:top_k]
        return math.fsum(largest) / len(largest)
    absent = 1.0
    for probability in column:
        absent *= 1 - probability
    return 1 - absent


@pytest.mark.parametrize("windows", [1, 2, 7, 256, 729, 1000])
@pytest.mark.parametrize("method", ["mean", "max", "top_k", "noisy_or"])
class TestAgainstALoop:
    def probabilities(self, windows: int, classes: int) -> torch.Tensor:
        logits = torch.randn(windows, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(windows))
        return (3 * logits).softmax(1).float()

    def test_classes_that_do_not_exclude_each_other(self, method: str, windows: int) -> None:
        probabilities = self.probabilities(windows, 4)
        expected = [pooled(column, method, 5) for column in probabilities.T.tolist()]
        result = Aggregation(method, top_k=5, exclusive=False)(probabilities)
        assert result.tolist() == pytest.approx(expected, abs=1e-12)

    def test_two_classes_with_a_negative_one(self, method: str, windows: int) -> None:
        probabilities = self.probabilities(windows, 2)
        positive = pooled(probabilities[:, 1].tolist(), method, 5)
        result = Aggregation(method, top_k=5, negative_class=0)(probabilities)
        assert result.tolist() == pytest.approx([1 - positive, positive], abs=1e-7)  # the mean's own p_0 is float32

    def test_several_classes_with_a_negative_one(self, method: str, windows: int) -> None:
        probabilities = self.probabilities(windows, 4)
        scores = [pooled(column, method, 5) for column in probabilities.T.tolist()]
        result = Aggregation(method, top_k=5, negative_class=1)(probabilities).tolist()
        assert sum(result) == pytest.approx(1, abs=1e-7)
        if method != "mean":
            present = max(scores[0], scores[2], scores[3])
            total = scores[0] + scores[2] + scores[3]
            expected = [scores[0] * present / total, 1 - present, *(s * present / total for s in scores[2:])]
            assert result == pytest.approx(expected, abs=1e-12)

    def test_no_negative_class(self, method: str, windows: int) -> None:
        probabilities = self.probabilities(windows, 3)
        scores = [pooled(column, method, 5) for column in probabilities.T.tolist()]
        result = Aggregation(method, top_k=5)(probabilities).tolist()
        assert result == pytest.approx([score / sum(scores) for score in scores], abs=1e-7)


def test_absence_everywhere_leaves_all_to_the_negative_class() -> None:
    assert Aggregation("max", negative_class=2)(torch.tensor([[0.0, 0.0, 1.0]] * 3)).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "median"}, "`aggregate` must be one of 'mean', 'max', 'top_k', 'noisy_or'; got 'median'"),
        ({"method": "top_k", "top_k": 0}, "top_k must be a whole number of windows of at least 1, got 0"),
        ({"negative_class": 0, "exclusive": False}, "negative class needs classes that exclude each other"),
    ],
)
def test_what_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(CrossDError, match=message):
        Aggregation(**arguments)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_negative_class_that_does_not_exist(index: int) -> None:
    with pytest.raises(CrossDError, match=f"index of a class, 0 to 1, got {index}"):
        Aggregation("max", negative_class=index)(torch.tensor([[0.5, 0.5]]))
