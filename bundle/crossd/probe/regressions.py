"""What scikit-learn fits of features, for each task and one strength after the other, as linear layers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossd.cards.tasks import ORDINAL, REGRESSION
from crossd.errors import CrossDError

OFFSET = 30.0  # over the root of C: the penalty on the step from one grade to the next is 1/900 of that on a feature
Array = np.ndarray
ClassWeights = str | Sequence[float] | None


@dataclass(frozen=True)
class Linear:
    """`x ↦ x · weightᵀ + bias`, as `torch.nn.Linear` has it: `(cases, inputs)` → `(cases, outputs)`.

    >>> Linear(np.array([[2.0, 0.0]]), np.array([1.0]))(np.array([[3.0, 5.0]])).tolist()
    [[7.0]]
    """

    weight: Array
    bias: Array

    def __call__(self, rows: Array) -> Array:
        return np.asarray(rows @ self.weight.T + self.bias)


def exclusive(rows: Array, targets: Array, strengths: Sequence[float], weights: ClassWeights) -> list[Linear]:
    """Of classes of which one is true; one that no case has gets the logit of half a case."""
    label, outputs = targets.argmax(1), targets.shape[1]
    present = np.unique(label)
    found = []
    for coefficients, intercept in _regressions(rows, label, strengths, _by_class(weights, present.tolist())):
        if len(present) == 2:  # scikit-learn has one logit, of the second
            coefficients, intercept = (np.concatenate([-half, half]) for half in (coefficients / 2, intercept / 2))
        weight, bias = np.zeros((outputs, rows.shape[1])), np.full(outputs, np.log(0.5 / len(rows)))
        weight[present], bias[present] = coefficients, intercept
        found.append(Linear(weight, bias))
    return found


def each_class(rows: Array, targets: Array, strengths: Sequence[float], weights: ClassWeights) -> list[Linear]:
    """Of classes of which any number may be true; one that all cases have, or none, gets a constant logit."""
    found = [Linear(np.zeros((targets.shape[1], rows.shape[1])), np.zeros(targets.shape[1])) for _ in strengths]
    for index, target in enumerate(targets.T.astype(int)):
        if len({*target.tolist()}) < 2:
            for head in found:
                head.bias[index] = np.log((target.sum() + 0.5) / (len(target) - target.sum() + 0.5))
            continue
        share = weights if isinstance(weights, str) or weights is None else [1.0, float(weights[index])]
        fitted = _regressions(rows, target, strengths, _by_class(share, [0, 1]))
        for head, (coefficients, intercept) in zip(found, fitted, strict=True):
            head.weight[index], head.bias[index] = coefficients[0], intercept[0]
    return found


def ordered(rows: Array, targets: Array, strengths: Sequence[float], weights: ClassWeights) -> list[Linear]:
    r"""Of grades: $\log\frac{P(y = k + 1)}{P(y = k)} = a_k + w \cdot x$, so that the logit of grade k is the sum of
    these below it. One direction for all of them needs fewer cases than one of each grade; a grade that no case has is
    passed over, and gets the logit of half a case.

    It is fitted on each two neighbours together, as one logistic regression of "the upper one" whose offsets $a_k$ are
    features so large that the penalty does not see them.

    Source: the adjacent-categories logit model, Agresti, "Analysis of ordinal categorical data", 2010, chapter 4; by
    pairs, Begg and Gray, Biometrika 71 (1984).
    """
    place, outputs = targets.argmax(1), targets.shape[1]
    present = np.unique(place)
    if len(present) < 2:
        share = np.log(np.maximum(targets.sum(0), 0.5) / len(rows))
        return [Linear(np.zeros((outputs, rows.shape[1])), share) for _ in strengths]
    grade = np.searchsorted(present, place)
    pairs = [(case, below) for below in range(len(present) - 1) for case in np.flatnonzero((grade - below) // 2 == 0)]
    cases, below = np.array(pairs).T
    offsets, upper = np.eye(len(present) - 1)[below], (grade[cases] > below).astype(int)
    share = _sample_weights(weights, place)[cases]
    found = []
    for strength in strengths:
        size = OFFSET / np.sqrt(float(strength))
        seen = np.concatenate([rows[cases], size * offsets], 1)
        ((coefficients, intercept),) = _regressions(seen, upper, [strength], None, share)
        direction, steps = coefficients[0, : rows.shape[1]], intercept[0] + size * coefficients[0, rows.shape[1] :]
        weight, bias = np.zeros((outputs, rows.shape[1])), np.full(outputs, np.log(0.5 / len(rows)))
        weight[present] = np.arange(len(present))[:, None] * direction
        logits = np.concatenate([[0.0], steps.cumsum()])
        bias[present] = logits - logits.mean()
        weight[present] -= weight[present].mean(0)
        found.append(Linear(weight, bias))
    return found


def _sample_weights(weights: ClassWeights, label: Array) -> Array:
    """Of each case, as `LogisticRegression` has them of classes."""
    from sklearn.utils.class_weight import compute_sample_weight

    return np.asarray(compute_sample_weight(_by_class(weights, np.unique(label).tolist()), label))


def number(rows: Array, targets: Array, strengths: Sequence[float], weights: ClassWeights) -> list[Linear]:
    """Ridge regressions of the standardised number, with the penalty `1 / C`."""
    if weights is not None and not isinstance(weights, str):
        raise CrossDError(f"class_weights are of classes, got {list(weights)} for a number. Leave them out.")
    model, mean, scale = _sklearn().Ridge(), targets.mean(0), targets.std(0)
    if not scale.all():
        return [Linear(np.zeros((1, rows.shape[1])), mean) for _ in strengths]
    found = []
    for strength in strengths:
        model.set_params(alpha=1 / float(strength)).fit(rows, (targets - mean) / scale)
        found.append(Linear(model.coef_.reshape(1, -1) * scale, np.reshape(model.intercept_, 1) * scale + mean))
    return found


def _by_class(weights: ClassWeights, present: Sequence[int]) -> Any:
    return weights if isinstance(weights, str) or weights is None else {i: float(weights[i]) for i in present}


def _regressions(
    rows: Array, label: Array, strengths: Sequence[float], weights: Any, share: Array | None = None
) -> list[tuple[Array, Array]]:
    """scikit-learn's coefficients and intercept for each strength; each starts from the one before."""
    models = _sklearn()
    from sklearn.exceptions import ConvergenceWarning

    model = models.LogisticRegression(class_weight=weights, max_iter=1000, tol=1e-6, warm_start=True)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # weak penalties on classes that can be parted go on for ever
        for strength in strengths:
            model.set_params(C=float(strength)).fit(rows, label, share)
            found.append((model.coef_.copy(), model.intercept_.copy()))
    return found


def _sklearn() -> Any:
    """scikit-learn's linear models."""
    try:
        from sklearn import linear_model
    except ImportError as error:
        raise CrossDError(
            f"A probe is fitted by scikit-learn, which is not installed ({error}). Run: pip install scikit-learn"
        ) from error
    return linear_model


FITS = {"multiclass": exclusive, "multilabel": each_class, ORDINAL: ordered, REGRESSION: number}
"""By task: features `(cases, features)`, targets `(cases, outputs)`, strengths and weights of classes to layers."""
