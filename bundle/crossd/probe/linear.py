"""A standardised regression, logistic or ridge, as one linear layer: what scikit-learn fits, folded into weights and a
bias.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossd.cards.tasks import ORDINAL, REGRESSION
from crossd.errors import CrossDError

LEAST_SPREAD = 1e-2  # of the median: a feature that hardly moves is not blown up, and rounding with it
LEAST_DIRECTION = 1e-12  # of the largest eigenvalue; what is below is rounding
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


def mean_and_spread(rows: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each feature; the latter `LEAST_SPREAD` of their median at least, or 1 for none.

    >>> mean_and_spread(np.array([[0.0, 3.0], [2.0, 3.0]]))[1].tolist()
    [1.0, 1.0]
    """
    spread = rows.std(0)
    moving = spread[spread > 0]
    least = LEAST_SPREAD * float(np.median(moving)) if moving.size else 1.0
    return rows.mean(0), np.where(spread > 0, np.maximum(spread, least), 1.0)


@dataclass(frozen=True)
class Components:
    """Principal components of standardised features, of cases without labels.

    Attributes:
        mean, spread: of each feature.
        axes: `(components, features)`, orthonormal.
    """

    mean: Array
    spread: Array
    axes: Array

    @classmethod
    def fit(cls, rows: Array, most: int) -> Components:
        """The first `most` of cases `(cases, features)`, fewer where there are not so many.

        >>> Components.fit(np.random.default_rng(0).normal(size=(5, 20)), 256).axes.shape
        (4, 20)
        """
        mean, spread = mean_and_spread(rows)
        basis = _directions((rows - mean) / spread)
        return cls(mean, spread, basis[: min(most, len(rows) - 1)])

    def __call__(self, rows: Array) -> Array:
        """`(cases, features)` → `(cases, components)`."""
        return np.asarray(((rows - self.mean) / self.spread) @ self.axes.T)

    def before(self, head: Linear) -> Linear:
        """The head of components as one of features."""
        weight = (head.weight @ self.axes) / self.spread
        return Linear(weight, head.bias - weight @ self.mean)


def fit_heads(
    rows: Array,
    targets: Array,
    strengths: Sequence[float],
    task: str = "multiclass",
    class_weights: ClassWeights = "balanced",
    reduce: bool = True,
    emphasis: Array | None = None,
) -> list[Linear]:
    """Standardised regressions, one for each strength, as linear layers on the features as they are: logistic, or of a
    number ridge.

    Where there are more features than cases the regression is fitted in the space that the cases span. That is exact,
    as an L2 penalty has no use for what is orthogonal to all of them (Hastie and Tibshirani, Biostatistics 2004).

    Args:
        rows: `(cases, features)`.
        targets: 0 or 1 `(cases, classes)`; of a regression numbers `(cases, 1)`.
        strengths: scikit-learn's `C`, the inverse of the penalty.
        task: `"multiclass"`, one multinomial regression, `"multilabel"`, one for each class, `"ordinal"`, adjacent
            grades, or `"regression"`.
        class_weights: `"balanced"`, None, or a number for each class.
        reduce: False: fit in the space of all features.
        emphasis: by how much each standardised feature is enlarged, so that the penalty spares it; None: all by 1.

    Returns:
        Of each strength the layer, features → logits of all classes, or the number.

    Raises:
        CrossDError: where scikit-learn is not installed, and for weights of classes of a number.
    """
    mean, spread = mean_and_spread(rows)
    spread = spread if emphasis is None else spread / emphasis
    standard = (rows - mean) / spread
    axes = _directions(standard) if reduce and rows.shape[1] > len(rows) else None
    seen = standard if axes is None else standard @ axes.T
    fit = {"multilabel": _each_class, ORDINAL: _ordered, REGRESSION: _number}.get(task, _exclusive)
    found = []
    for head in fit(seen, targets, strengths, class_weights):
        weight = (head.weight if axes is None else head.weight @ axes) / spread
        found.append(Linear(weight, head.bias - weight @ mean))
    return found


def _directions(standard: Array) -> Array:
    """Right singular vectors `(directions, features)` of centred rows, the largest first; one where all are alike."""
    if not standard.any():
        return np.eye(1, standard.shape[1])
    if standard.shape[1] <= len(standard):
        _, singular, axes = np.linalg.svd(standard, full_matrices=False)
        return np.asarray(axes[singular**2 > LEAST_DIRECTION * singular[0] ** 2])
    values, vectors = np.linalg.eigh(standard @ standard.T)
    kept = values > LEAST_DIRECTION * values[-1]
    axes = (vectors[:, kept] / np.sqrt(values[kept])).T @ standard
    return np.asarray(axes[::-1])


def _exclusive(rows: Array, targets: Array, strengths: Sequence[float], weights: ClassWeights) -> list[Linear]:
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


def _each_class(rows: Array, targets: Array, strengths: Sequence[float], weights: ClassWeights) -> list[Linear]:
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


def _ordered(rows: Array, targets: Array, strengths: Sequence[float], weights: ClassWeights) -> list[Linear]:
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


def _number(rows: Array, targets: Array, strengths: Sequence[float], weights: ClassWeights) -> list[Linear]:
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
