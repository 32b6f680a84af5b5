"""What training inputs looked like, and whether a case is like them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossd.cards.gaussian import Gaussian
from crossd.errors import CrossDError

QUANTILE = 0.99  # of the validation cases, which are inside
FEWEST = (4, 2)  # training and validation cases
FARTHEST = 1000.0  # times a limit; what is farther is as far
# The least standard deviation that is taken for a figure. A case may always differ by three of them, even where
# all training cases are alike: sizes by a factor of 1.5 (they are logarithms), a bin of the histogram by 2 % of voxels.
FIGURES = {"spacing": 0.135, "extent": 0.135, "foreground": 0.1, "intensities": 0.05}
# What is told by a Gaussian, and the least standard deviation of it: what the network makes of a case, and where its
# foreground lies (shares of the axes), in which a case may differ by three of them too.
GAUSSIANS = {"features": 1e-6, "place": 0.02}
Seen = Mapping[str, Any]


@dataclass(frozen=True)
class Judgement:
    """What is said of a case.

    Attributes:
        inside: whether it is no farther from the training cases than `QUANTILE` of the validation cases.
        unlike: the share of validation cases that are less unlike.
        parts: what is farther than it may be, the farthest first, with how many times its limit it is.
    """

    inside: bool
    unlike: float
    parts: Mapping[str, float]

    @property
    def word(self) -> str:
        """As tables have it."""
        return "inside" if self.inside else "outside"


@dataclass(frozen=True)
class Scope:
    r"""How far a case is from the training cases, in parts, and what that is for validation cases.

    A part is a figure of the input (`FIGURES`), where its foreground lies ("place"), or what the network makes of it
    ("features"). The distance of a figure is $\max_i |x_i - \mu_i| / \sigma_i$, with a least $\sigma$; that of the
    others the Mahalanobis distance of `Gaussian`. Each is divided by its limit, the `QUANTILE` of the validation cases
    (but for features 3 at least). The score of a case is the largest of these quotients. It is outside where that
    exceeds `limit`, the same quantile of the scores of the validation cases, 1 at least. A DICOM modality that no
    training case had counts as farthest, where both are known. What a case does not have, or its limit is not known
    for, is passed over.

    Attributes:
        cases: how many training and validation cases it was made from.
        modalities: of the training cases, where known.
        means, spreads: by figure.
        gaussians: of `GAUSSIANS`, those that are known; features only where the network gives them.
        limits: by part.
        scores: of the validation cases, ascending.
        limit: of scores.

    >>> rng = np.random.default_rng(0)
    >>> cases = [{"features": row, "spacing": np.zeros(3)} for row in rng.normal(size=(300, 4))]
    >>> scope = Scope.fit(cases[:200], cases[200:])
    >>> [scope.judge({"features": np.full(4, shift), "spacing": np.zeros(3)}).word for shift in (0.0, 5.0)]
    ['inside', 'outside']
    """

    cases: tuple[int, int]
    modalities: tuple[str, ...]
    means: Mapping[str, np.ndarray]
    spreads: Mapping[str, np.ndarray]
    gaussians: Mapping[str, Gaussian]
    limits: Mapping[str, float]
    scores: np.ndarray
    limit: float

    @classmethod
    def fit(cls, training: Sequence[Seen], validation: Sequence[Seen]) -> Scope:
        """The scope of cases as `crossd.inference.case_figures` says what they look like.

        Args:
            training: what the distribution is that of.
            validation: other cases, by which limits are set.

        Raises:
            CrossDError: for fewer cases than `FEWEST`.
        """
        cases = (len(training), len(validation))
        if cases[0] < FEWEST[0] or cases[1] < FEWEST[1]:
            raise CrossDError(
                f"A scope needs {FEWEST[0]} training and {FEWEST[1]} validation cases at least, got {cases[0]} and "
                f"{cases[1]}. Label more, or train without one."
            )
        means, spreads = {}, {}
        for name, least in FIGURES.items():
            rows = _rows(training, name)
            if rows is not None:
                means[name] = rows.mean(0).astype(np.float32)
                spreads[name] = np.maximum(rows.std(0), least).astype(np.float32)
        gaussians = {
            name: Gaussian.fit(rows, least)
            for name, least in GAUSSIANS.items()
            if (rows := _rows(training, name)) is not None
        }
        known = {str(seen["modality"]) for seen in training if seen.get("modality")}
        made = cls(cases, tuple(sorted(known)), means, spreads, gaussians, {}, np.zeros(0), 1.0)
        far = [made._distances(seen) for seen in validation]
        limits = {
            part: max(_quantile([each[part] for each in far if part in each]), 1e-6 if part == "features" else 3.0)
            for part in sorted({part for each in far for part in each})
        }
        made = cls(cases, made.modalities, means, spreads, gaussians, limits, made.scores, 1.0)
        scores = np.sort([max(made.quotients(seen).values(), default=0.0) for seen in validation]).astype(np.float32)
        return cls(
            cases, made.modalities, means, spreads, gaussians, limits, scores, max(1.0, _quantile(scores.tolist()))
        )

    def quotients(self, seen: Seen) -> dict[str, float]:
        """How many times its limit each part of a case is away."""
        found = {part: far / self.limits[part] for part, far in self._distances(seen).items() if part in self.limits}
        if seen.get("modality") and self.modalities and seen["modality"] not in self.modalities:
            found["modality"] = FARTHEST
        return {part: min(far, FARTHEST) if np.isfinite(far) else FARTHEST for part, far in found.items()}

    def judge(self, seen: Seen) -> Judgement:
        """What is said of a case."""
        found = self.quotients(seen)
        score = np.float32(max(found.values(), default=0.0))
        beyond = sorted(((far, part) for part, far in found.items() if far > self.limit), reverse=True)
        unlike = float(np.searchsorted(self.scores, score) / len(self.scores))
        return Judgement(bool(score <= self.limit), unlike, {part: far for far, part in beyond})

    def _distances(self, seen: Seen) -> dict[str, float]:
        found = {
            name: float((np.abs(np.asarray(seen[name]) - self.means[name]) / self.spreads[name]).max())
            for name in self.means
            if seen.get(name) is not None and np.shape(seen[name]) == self.means[name].shape
        }
        for name, gaussian in self.gaussians.items():
            row = seen.get(name)
            if row is not None and np.shape(row) == gaussian.mean.shape:
                found[name] = gaussian.distance(row)
        return found


def _rows(cases: Sequence[Seen], name: str) -> np.ndarray | None:
    """What the cases have of a part, `(cases, values)`; None where one has not, or another number of values."""
    rows = [np.asarray(seen[name], np.float64) for seen in cases if seen.get(name) is not None]
    return np.stack(rows) if len(rows) == len(cases) and len({row.shape for row in rows}) == 1 else None


def _quantile(values: Sequence[float]) -> float:
    """The smallest value that `QUANTILE` of them do not exceed."""
    return float(np.quantile(values, QUANTILE, method="inverted_cdf"))
