"""A regression as one linear layer: exact in fewer dimensions, exact when folded, and scikit-learn's own."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from crossd.errors import CrossDError
from crossd.probe.linear import Components, fit_heads, mean_and_spread


def rows(cases=20, features=60, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    label = np.arange(cases) % classes
    return rng.normal(size=(cases, features)) * rng.uniform(0.1, 9, features) + label[:, None], np.eye(classes)[label]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_space_of_the_cases_is_enough(task, classes):
    """An L2 penalty keeps the weights in the span of the cases: the same regression with all features."""
    features, targets = rows(classes=classes)
    other = np.random.default_rng(1).normal(size=(5, 60))
    for few, all_ in zip(
        fit_heads(features, targets, [0.01, 1.0], task),
        fit_heads(features, targets, [0.01, 1.0], task, reduce=False),
        strict=True,
    ):
        np.testing.assert_allclose(few(other), all_(other), atol=2e-4)


@pytest.mark.parametrize("weights", ["balanced", None, [1.0, 2.0, 3.0]])
def test_a_head_is_the_pipeline_of_scikit_learn(weights):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, targets = rows(60, 10)
    targets = targets[:, [2, 0, 1]]
    given = dict(enumerate(weights)) if isinstance(weights, list) else weights
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, class_weight=given, tol=1e-8, max_iter=5000))
    logits = fit_heads(features, targets, [0.3], class_weights=weights)[0](features)
    expected = model.fit(features, targets.argmax(1)).predict_proba(features)
    found = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_head_of_components_is_one_of_features():
    pool, _ = rows(30, 60, seed=2)
    features, targets = rows()
    components = Components.fit(pool, 8)
    assert components.axes.shape == (8, 60)
    np.testing.assert_allclose(components.axes @ components.axes.T, np.eye(8), atol=1e-10)
    head = fit_heads(components(features), targets, [1.0])[0]
    np.testing.assert_allclose(components.before(head)(features), head(components(features)), atol=1e-9)


def test_a_feature_that_hardly_moves_is_not_blown_up():
    features = np.random.default_rng(0).normal(size=(50, 5))
    features[:, 0] = 3
    features[:, 1] *= 1e-9
    _, spread = mean_and_spread(features)
    assert spread[0] == 1
    assert 0.005 < spread[1] < 0.02


def test_a_class_that_is_not_there_gets_little_and_one_that_all_have_a_constant():
    features, targets = rows(12, 4, 2)
    absent = np.concatenate([targets, np.zeros((12, 1))], 1)
    logits = fit_heads(features, absent, [1.0])[0](features)
    assert (logits.argmax(1) < 2).all()
    several = np.concatenate([targets, np.ones((12, 1)), np.zeros((12, 1))], 1)
    always, never = fit_heads(features, several, [1.0], "multilabel")[0](features)[:, 2:].T
    assert {*always.round(6)} == {round(float(np.log(12.5 / 0.5)), 6)}
    np.testing.assert_allclose(never, -always)


@pytest.mark.parametrize("features", [5, 60])
def test_cases_that_are_all_alike_leave_the_shares_of_the_classes(features):
    targets = np.eye(2)[[0, 0, 0, 1]]
    (head,) = fit_heads(np.ones((4, features)), targets, [1.0], class_weights=None)
    logits = head(np.ones((1, features)))[0]
    assert np.exp(logits[1]) / np.exp(logits).sum() == pytest.approx(0.25, abs=1e-3)
    alike = Components.fit(np.ones((4, features)), 3)
    assert alike(np.ones((2, features))).tolist() == [[0.0], [0.0]]


def test_scikit_learn_that_is_not_installed_is_said(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("sklearn"):
            raise ImportError("No module named 'sklearn'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CrossDError, match=r"not installed \(No module.*Run: pip install scikit-learn"):
        fit_heads(*rows(), [1.0])
