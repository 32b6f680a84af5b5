"""A Gaussian of many dimensions from few cases, small enough for a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

DIRECTIONS = 32


@dataclass(frozen=True)
class Gaussian:
    r"""A Gaussian whose covariance has $q$ directions of its own and one variance for all others.

    Every dimension is standardised. The covariance $S$ of what results is shrunk towards $\mu I$ by Ledoit's and
    Wolf's intensity, $\Sigma = (1 - \alpha) S + \alpha \mu I$. Of its eigenvalues the largest $q$ are kept, the others
    replaced by their mean: what is stored grows as the number of dimensions, not as its square.

    Sources: O. Ledoit, M. Wolf, Journal of Multivariate Analysis 88 (2004), 365–411 (the intensity); M. E. Tipping,
    C. M. Bishop, Journal of the Royal Statistical Society B 61 (1999), 611–622 (the directions).

    Attributes:
        mean, spread: `(dimensions,)`, of the training cases.
        axes: `(q, dimensions)`, orthonormal; stored with 16 bits.
        variances: `(q + 1,)`, along them and along all others.

    >>> rows = np.random.default_rng(0).normal(size=(500, 3)) * [1, 10, 100]
    >>> gaussian = Gaussian.fit(rows)
    >>> round(float(np.mean([gaussian.distance(row) ** 2 for row in rows])), 1)  # of a Gaussian: its dimensions
    3.0
    """

    NAMES: ClassVar = ("mean", "spread", "axes", "variances")

    mean: np.ndarray
    spread: np.ndarray
    axes: np.ndarray
    variances: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, least: float = 1e-6) -> Gaussian:
        """That of cases `(cases, dimensions)`, whose standard deviation is taken for `least` at least."""
        count, dimensions = rows.shape
        mean, spread = rows.mean(0), np.maximum(rows.std(0), least)
        standard = (rows - mean) / spread
        _, singular, axes = np.linalg.svd(standard, full_matrices=False)
        variances = singular**2 / count
        usual = variances.sum() / dimensions
        off = ((variances**2).sum() - dimensions * usual**2) / dimensions  # of S from μI, squared
        noise = ((standard**2).sum(1) ** 2).sum() / count**2 - (variances**2).sum() / count
        alpha = min(max(noise / dimensions / off, 0.0), 1.0) if off > 0 else 1.0
        kept = min(DIRECTIONS, dimensions, max(1, (count - 1) // 2))
        rest = (variances.sum() - variances[:kept].sum()) / max(dimensions - kept, 1)
        every = (1 - alpha) * np.append(variances[:kept], rest) + alpha * usual
        every = np.maximum(every, max(1e-6, float((least / spread).min()) ** 2))
        return cls(*(each.astype(np.float32) for each in (mean, spread, axes[:kept].astype(np.float16), every)))

    def distance(self, row: np.ndarray) -> float:
        """The Mahalanobis distance of a case `(dimensions,)`."""
        standard = (np.asarray(row, np.float64) - self.mean) / self.spread
        along = self.axes.astype(np.float64) @ standard
        rest = max(float(standard @ standard - along @ along), 0.0) if len(self.axes) < len(self.mean) else 0.0
        return float(np.sqrt((along**2 / self.variances[:-1]).sum() + rest / self.variances[-1]))

    def arrays(self) -> dict[str, np.ndarray]:
        """By name, the axes with 16 bits; `Gaussian(**arrays)` is the same."""
        return {name: getattr(self, name).astype(np.float16 if name == "axes" else np.float32) for name in self.NAMES}

    @classmethod
    def fault(cls, arrays: Mapping[str, np.ndarray]) -> str | None:
        """What `arrays` should be and are not; None where nothing is wrong."""
        mean, spread, axes, variances = (arrays[name] for name in cls.NAMES)
        fits = mean.ndim == 1 and spread.shape == mean.shape and axes.ndim == 2 and axes.shape[1:] == mean.shape
        if not fits or variances.shape != (len(axes) + 1,):
            return "mean and spread (n), axes (q, n), variances (q + 1)"
        return None if (spread > 0).all() and (variances > 0).all() else "positive spread and variances"
