"""Groups of cases: which there are, and that their figures are those of their cases alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from crossd.errors import CrossDError
from crossd.evaluation import Predictions, evaluate
from crossd.evaluation.subgroups import groups_of, subgroup_table


@pytest.fixture(scope="module")
def predictions():
    torch.manual_seed(0)
    targets = torch.eye(2)[torch.arange(30) % 2]
    said = Predictions.of((torch.randn(30, 2) + targets).softmax(1), targets, ["well", "ill"], "multiclass")
    return replace(said, columns=[{"sex": "FM"[row % 3 == 0], "age": str(row)} for row in range(30)])


def test_figures_are_those_of_the_group_alone(predictions):
    women, men = subgroup_table(predictions, "sex", 100)
    assert (women["group"], women["cases"], men["cases"]) == ("F", 20, 10)
    alone = evaluate(predictions.take([row for row in range(30) if row % 3]), 100)["metrics"]
    assert {name: women[name] for name in ("auc", "sensitivity", "specificity")} == {
        name: alone[name] for name in ("auc", "sensitivity", "specificity")
    }
    assert (women["few"], men["few"]) == ([], ["well (5)", "ill (5)"])


def test_numbers_are_told_in_thirds_and_what_is_missing_apart():
    assert groups_of([str(number) for number in range(9)] + [""]) == {
        "0 to 2": [0, 1, 2],
        "3 to 5": [3, 4, 5],
        "6 to 8": [6, 7, 8],
        "unknown": [9],
    }
    assert [*groups_of(["1", "2", "1"])] == ["1", "2"]  # few numbers are names


def test_a_column_that_is_not_there(predictions):
    with pytest.raises(CrossDError, match=r"further column of the labels, got 'site'; there are age, sex\. Choose one"):
        subgroup_table(predictions, "site", 100)
