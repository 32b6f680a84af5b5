"""Thresholds: what each rule promises of the cases that it saw, and that answers follow them."""

from __future__ import annotations

import numpy as np
import pytest
from crossd.cards.operating_point import OperatingPoint, check_rule
from crossd.checkpoints import check_card
from crossd.errors import CrossDError
from crossd.inference.classification import predicted_classes

from .test_rules import CARD, _changed


@pytest.fixture(scope="module")
def seen():
    """Probabilities and targets `(cases, classes)` of 80 cases, some alike."""
    rng = np.random.default_rng(0)
    ill = rng.integers(0, 2, 80)
    chance = np.round(np.clip(rng.normal(0.4 + 0.15 * ill, 0.2), 0, 1), 2)
    return np.stack([1 - chance, chance], 1), np.stack([1 - ill, ill], 1)


def rates(seen, limit):
    """Sensitivity and specificity of saying ill from a limit on."""
    chance, ill = seen[0][:, 1], seen[1][:, 1] == 1
    return (chance[ill] >= limit).mean(), (chance[~ill] < limit).mean()


@pytest.mark.parametrize("rule", ["youden", "sensitivity:0.9", "specificity:0.95", "costs:4"])
def test_no_other_threshold_is_better(seen, rule):
    point = OperatingPoint("multiclass", ("well", "ill"), 0).chosen(*seen, rule)
    chosen = rates(seen, point.thresholds["ill"])
    every = [rates(seen, limit) for limit in np.linspace(-0.005, 1.005, 102)]  # between all that were seen
    value, share = check_rule(rule)[1], seen[1][:, 1].mean()
    if rule == "youden":
        assert sum(chosen) == pytest.approx(max(map(sum, every)))
    elif rule.startswith("sensitivity"):
        assert chosen[0] >= value
        assert chosen[1] == pytest.approx(max(b for a, b in every if a >= value))
    elif rule.startswith("specificity"):
        assert chosen[1] >= value
        assert chosen[0] == pytest.approx(max(a for a, b in every if b >= value))
    else:
        costs = [value * (1 - a) * share + (1 - b) * (1 - share) for a, b in (chosen, *every)]
        assert costs[0] == pytest.approx(min(costs))
    assert not np.isin(point.thresholds["ill"], seen[0][:, 1])  # between two cases: rounding moves none across


def test_answers_follow_the_card():
    card = {"class_names": ["ill", "well"], "negative_class": 1, "task": "multiclass"}
    assert predicted_classes([0.4, 0.6], card) == ["well"]
    card["operating_point"] = {"rule": "youden", "thresholds": {"ill": 0.3}, "cases": 20}
    assert predicted_classes([0.4, 0.6], card) == ["ill"]
    several = {"class_names": ["a", "b"], "task": "multilabel", "operating_point": {"thresholds": {"b": 0.2}}}
    assert predicted_classes([0.4, 0.3], several) == ["b"]
    three = {"class_names": ["a", "b", "c"], "operating_point": {"thresholds": {"b": 0.2}}}
    assert predicted_classes([0.4, 0.3, 0.3], three) == ["a"]  # they exclude each other: the most probable


def test_each_class_has_its_threshold_where_there_are_cases(seen):
    rows = np.concatenate([seen[0], np.full((80, 1), 0.3)], 1)
    targets = np.concatenate([seen[1], np.arange(80)[:, None] < 3], 1)
    point = OperatingPoint("multilabel", ("a", "b", "c")).chosen(rows, targets, "youden")
    assert {*point.thresholds} == {"a", "b"}  # of c there are three cases
    assert point.limits["c"] == 0.5


@pytest.mark.parametrize("rule", ["yuden", "youden:1", "sensitivity", "sensitivity:1.2", "costs:0", "costs:much"])
def test_a_rule_that_is_none(rule):
    with pytest.raises(
        CrossDError, match=r"operating_point must be youden, .*Example: --operating_point sensitivity:0"
    ):
        check_rule(rule)


def test_the_entry_keeps_the_rules_of_cards(seen):
    entry = OperatingPoint("multiclass", ("healthy", "aneurysm"), 0).chosen(*seen, "youden").entry()
    card = check_card({**CARD, "operating_point": entry})
    assert OperatingPoint.of(card).entry() == entry
    for path, value in (("thresholds", {"other": 0.5}), ("thresholds", {"aneurysm": 2}), ("cases", 0), ("rule", None)):
        with pytest.raises(CrossDError, match=rf"`operating_point\.{path}` of a checkpoint's card must be "):
            check_card(_changed(f"operating_point.{path}", value, card))
