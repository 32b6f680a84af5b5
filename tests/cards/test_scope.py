"""The scope of a card: training cases are inside, shifted ones are not, and the limit is the quantile that it says."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from crossd.cards.gaussian import Gaussian
from crossd.cards.rules import check_card
from crossd.cards.scope import FARTHEST, QUANTILE, Scope
from crossd.cards.scope_entry import entry_of_scope, scope_of
from crossd.errors import CrossDError

from scripts.benchmarks.scope.detectors import shrunk

from ..configs import card_input

CARD = {
    "format": 1,
    "task": "multiclass",
    "class_names": ["no", "yes"],
    "network": {"spatial_dims": 3, "in_channels": 1, "num_classes": 2},
    "input": card_input(8),
}


def cases(count, seed, shift=0.0, **changes):
    """Features of 40 correlated dimensions, voxels of 1 mm, a modality."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(40, 40))
    for row in rng.normal(size=(count, 40)) @ mixing + shift:
        yield {"features": row, "spacing": np.zeros(3), "modality": "CT", **changes}


@pytest.fixture(scope="module")
def scope():
    return Scope.fit(list(cases(600, 0)), list(cases(150, 1)))


def test_training_cases_are_inside_and_a_shifted_gaussian_is_outside(scope):
    assert np.mean([scope.judge(case).inside for case in cases(600, 0)]) > 0.97
    assert np.mean([scope.judge(case).inside for case in cases(400, 2)]) > 0.95  # cases that nobody has seen
    assert not any(scope.judge(case).inside for case in cases(50, 3, shift=60.0))


def test_the_limit_is_the_quantile_of_the_validation_cases_that_it_says(scope):
    validation = list(cases(150, 1))
    inside = [scope.judge(case).inside for case in validation]
    assert sum(inside) == math.ceil(QUANTILE * len(validation)) == 149
    scores = sorted(max(scope.quotients(case).values()) for case in validation)
    assert scope.limit == pytest.approx(scores[148], rel=1e-6)


def test_unlike_is_the_share_of_validation_cases_that_are_less_unlike(scope):
    validation = list(cases(150, 1))
    scores = [max(scope.quotients(case).values()) for case in validation]
    case = next(iter(cases(1, 5)))
    share = np.mean(np.array(scores) < max(scope.quotients(case).values()))
    assert scope.judge(case).unlike == pytest.approx(share)
    assert sorted(scope.judge(case).unlike for case in validation) == pytest.approx(np.arange(150) / 150)
    assert scope.judge(next(iter(cases(1, 5, shift=1e6)))).unlike == 1.0


def test_a_card_that_went_through_a_file_judges_the_same(scope):
    card = json.loads(json.dumps(check_card({**CARD, "scope": entry_of_scope(scope)})))
    again = scope_of(check_card(card))
    for case in (*cases(20, 4), *cases(20, 4, shift=8.0)):
        assert again.judge(case) == scope.judge(case)
    assert scope_of(CARD) is None
    assert len(json.dumps(card["scope"])) < 10_000


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"modality": "MR"}, "modality"),
        ({"spacing": np.log([1.0, 1.0, 1.6])}, "spacing"),
        ({"spacing": np.log([1.0, 1.0, 1.4])}, None),  # within the factor of 1.5 that is always allowed
        ({"modality": None, "spacing": None}, None),  # what is not known is passed over
        ({"spacing": np.full(3, np.nan)}, "spacing"),
        ({"features": None}, None),
    ],
)
def test_parts_that_are_beyond_their_limit_are_named(scope, changes, part):
    case = {**next(iter(cases(1, 4))), **changes}
    said = scope.judge(case)
    assert list(said.parts) == ([] if part is None else [part])
    assert said.inside == (part is None)
    assert part != "modality" or said.parts[part] == FARTHEST


def test_too_few_cases_make_no_scope():
    with pytest.raises(CrossDError, match=r"needs 4 training and 2 validation cases at least, got 4 and 1. Label more"):
        Scope.fit(list(cases(4, 0)), list(cases(1, 0)))
    few = Scope.fit(list(cases(4, 0)), list(cases(2, 1)))
    assert all(few.judge(case).inside for case in cases(2, 1))  # the limit is the farther one


def test_the_gaussian_of_few_dimensions_is_that_of_ledoit_and_wolf():
    rows = np.random.default_rng(0).normal(size=(60, 5)) @ np.random.default_rng(1).normal(size=(5, 5))
    standard = (rows - rows.mean(0)) / rows.std(0)
    precision = np.linalg.inv(shrunk(standard))
    expected = np.sqrt(np.einsum("ni,ij,nj->n", standard, precision, standard))
    gaussian = Gaussian.fit(rows)
    assert [gaussian.distance(row) for row in rows] == pytest.approx(expected, rel=5e-3)  # axes have 16 bits


def test_dimensions_that_never_change_count_when_they_do():
    rows = np.random.default_rng(0).normal(size=(50, 3)) * [1, 1, 0]
    gaussian = Gaussian.fit(rows)
    assert gaussian.distance(np.array([0, 0, 0.1])) > 100 * gaussian.distance(rows[0])


def broken(entry, **changes):
    """An entry with others in place; None takes one away, a function changes what is there."""
    made = json.loads(json.dumps(entry))
    for name, value in changes.items():
        made[name] = value(made[name]) if callable(value) else value
    return made


BROKEN = {
    "cases": ([600], "`scope.cases` of a checkpoint's card must be the numbers of training and validation cases"),
    "quantile": (0.5, "`scope.quantile` of a checkpoint's card must be 0.99"),
    "limit": (float("nan"), "`scope.limit` of a checkpoint's card must be a positive number"),
    "limits": ({"colour": 1.0}, "`scope.limits` of a checkpoint's card must be positive numbers by part"),
    "modalities": ("CT", "`scope.modalities` of a checkpoint's card must be a list of texts"),
    "figures": ({"colour": {}}, "`scope.figures` of a checkpoint's card must be a dictionary of spacing, extent"),
    "features": ({"mean": 1}, "`scope.features` of a checkpoint's card must be a dictionary of mean, spread, axes"),
    "scores": (lambda coded: {**coded, "shape": [-1, 3]}, "`scope.scores` of a checkpoint's card must be the 150 sc"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_entries_that_are_malformed_are_refused(scope, name):
    value, message = BROKEN[name]
    with pytest.raises(CrossDError) as refused:
        check_card({**CARD, "scope": broken(entry_of_scope(scope), **{name: value})}, "a file")
    assert str(refused.value).startswith(message)
    assert "a file has" in str(refused.value)
    assert len(str(refused.value)) < 500  # without the arrays


@pytest.mark.parametrize("coded", [None, "AAAA", {"dtype": "float64", "shape": [1], "base64": "AAAA"}])
@pytest.mark.parametrize("where", ["spacing", "axes"])
def test_arrays_that_are_none_are_refused(scope, coded, where):
    entry = broken(entry_of_scope(scope))
    entry["figures" if where == "spacing" else "features"][where] = coded
    with pytest.raises(CrossDError, match=rf"`scope\..*\.{where}` .* must be finite numbers as .dtype, shape, base64."):
        check_card({**CARD, "scope": entry})


def test_features_that_do_not_fit_one_another_are_refused(scope):
    entry = broken(entry_of_scope(scope))
    entry["features"]["mean"] = entry["features"]["variances"]
    with pytest.raises(CrossDError, match=r"`scope.features` .* must be mean and spread \(n\), axes \(q, n\)"):
        check_card({**CARD, "scope": entry})
    with pytest.raises(CrossDError, match="`scope` of a checkpoint's card must be a dictionary, as training writes it"):
        check_card({**CARD, "scope": [1]})
