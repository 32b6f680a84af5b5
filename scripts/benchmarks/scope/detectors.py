"""Detectors: from what the network makes of training cases, a score that is high for cases that are unlike them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from crossd.cards.gaussian import Gaussian
from crossd.cards.scope import GAUSSIANS

QUANTILE = 0.99
LEAST = GAUSSIANS["place"]


@dataclass(frozen=True)
class Outputs:
    """Of some cases: logits `(cases, classes)`, the means over space of each stage, `(cases, channels)`, and where the
    foreground lies, `(cases, 6)`, see `crossd.inference.case_scope.foreground_place`."""

    logits: np.ndarray
    stages: tuple[np.ndarray, ...]
    place: np.ndarray


Score = Callable[[Outputs], np.ndarray]


def detectors(
    train: Outputs, validation: Outputs, labels: np.ndarray, weight: np.ndarray, bias: np.ndarray
) -> dict[str, Score]:
    """Every detector, fitted.

    Args:
        train: of the training cases.
        validation: of cases that set the limits by which two distances are compared.
        labels: their classes.
        weight, bias: of the network's last layer, `(classes, channels)` and `(classes,)`.
    """
    one, own = _mahalanobis(_last, train), _mahalanobis(_last, train, labels)
    stages, largest, gaussian = _stages(train), _largest(train), _place_gaussian(train)
    return {
        "softmax": lambda seen: -np.abs(seen.logits[:, 0] - seen.logits[:, 1]),
        "mahalanobis": one,
        "mahalanobis-class": own,
        "relative-mahalanobis": lambda seen: own(seen) ** 2 - one(seen) ** 2,
        "mahalanobis++": _mahalanobis(lambda seen: _unit(_last(seen)), train),
        "neighbours": _neighbours(train),
        "vim": _vim(train, weight, bias),
        "stages": stages,
        "place": largest,
        "stages, place": _farther(stages, largest, validation),
        "stages, place-gaussian": _farther(stages, gaussian, validation),
    }


def _last(seen: Outputs) -> np.ndarray:
    return seen.stages[-1]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _mahalanobis(features: Callable[[Outputs], np.ndarray], train: Outputs, labels: np.ndarray | None = None) -> Score:
    rows = features(train)
    centre, spread = rows.mean(0), rows.std(0) + 1e-6
    standard = (rows - centre) / spread
    classes = np.zeros(len(rows), int) if labels is None else labels
    means = np.stack([standard[classes == label].mean(0) for label in np.unique(classes)])
    precision = np.linalg.inv(shrunk(standard - means[classes]))

    def score(seen: Outputs) -> np.ndarray:
        off = ((features(seen) - centre) / spread)[:, None] - means
        return np.sqrt(np.einsum("nci,ij,ncj->nc", off, precision, off).min(1))

    return score


def shrunk(rows: np.ndarray) -> np.ndarray:
    """The covariance of centred rows by Ledoit and Wolf (2004).

    >>> bool(np.allclose(shrunk(np.eye(2)), np.eye(2) / 2))
    True
    """
    count, dimensions = rows.shape
    covariance = rows.T @ rows / count
    usual = np.trace(covariance) / dimensions
    off = ((covariance - usual * np.eye(dimensions)) ** 2).sum()
    noise = ((rows**2).sum(1) ** 2).sum() / count**2 - (covariance**2).sum() / count
    alpha = min(max(noise / off, 0.0), 1.0) if off > 0 else 1.0
    return (1 - alpha) * covariance + alpha * usual * np.eye(dimensions)


def _neighbours(train: Outputs, nearest: int = 10) -> Score:
    bank = _unit(_last(train))

    def score(seen: Outputs) -> np.ndarray:
        squares = 2 - 2 * _unit(_last(seen)) @ bank.T
        return np.sqrt(np.maximum(np.sort(squares, 1)[:, nearest - 1], 0))

    return score


def _vim(train: Outputs, weight: np.ndarray, bias: np.ndarray, directions: int = 64) -> Score:
    origin = -np.linalg.pinv(weight) @ bias
    moved = _last(train) - origin
    _, axes = np.linalg.eigh(moved.T @ moved / len(moved))
    rest = axes[:, :-directions]
    scale = train.logits.max(1).mean() / np.linalg.norm(moved @ rest, axis=1).mean()

    def score(seen: Outputs) -> np.ndarray:
        energy = np.log(np.exp(seen.logits).sum(1))
        return scale * np.linalg.norm((_last(seen) - origin) @ rest, axis=1) - energy

    return score


def _stages(train: Outputs) -> Score:
    def features(seen: Outputs) -> np.ndarray:
        return np.concatenate([_unit(stage) for stage in seen.stages], 1)

    gaussian = Gaussian.fit(features(train))
    return lambda seen: np.array([gaussian.distance(row) for row in features(seen)])


def _largest(train: Outputs) -> Score:
    mean, spread = train.place.mean(0), np.maximum(train.place.std(0), LEAST)
    return lambda seen: (np.abs(seen.place - mean) / spread).max(1)


def _place_gaussian(train: Outputs) -> Score:
    gaussian = Gaussian.fit(train.place, LEAST)
    return lambda seen: np.array([gaussian.distance(row) for row in seen.place])


def limit(validation: np.ndarray) -> float:
    """The score up to which a case is inside.

    >>> limit(np.arange(100.0))
    98.0
    """
    return float(np.quantile(validation, QUANTILE, method="inverted_cdf"))


def _farther(one: Score, other: Score, validation: Outputs) -> Score:
    """The larger of both distances, each in parts of its limit."""
    ones, others = limit(one(validation)), limit(other(validation))
    return lambda seen: np.maximum(one(seen) / ones, other(seen) / others)
