"""A standardised regression, logistic or ridge, as one linear layer: what scikit-learn fits, folded into weights and a
bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossd.probe.regressions import FITS, ClassWeights, Linear

LEAST_SPREAD = 1e-2  # of the median: a feature that hardly moves is not blown up, and rounding with it
LEAST_DIRECTION = 1e-12  # of the largest eigenvalue; what is below is rounding
Array = np.ndarray


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
    found = []
    for head in FITS[task](seen, targets, strengths, class_weights):
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
