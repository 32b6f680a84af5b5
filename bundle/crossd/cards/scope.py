"""What training inputs looked like, and whether a case is like them: the entry `scope` of a card."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
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
Seen = Mapping[str, Any]
_Rule = Callable[[str, Any, bool, str], None]


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

    A part is a figure of the input (`FIGURES`) or "features", what the network makes of it. The distance of a figure is
    $\max_i |x_i - \mu_i| / \sigma_i$, with a least $\sigma$; that of features is the Mahalanobis distance of
    `Gaussian`. Each is divided by its limit, the `QUANTILE` of the validation cases (of figures 3 at least). The score
    of a case is the largest of these quotients. It is outside where that exceeds `limit`, the same quantile of the
    scores of the validation cases, 1 at least. A DICOM modality that no training case had counts as farthest, where
    both are known. What a case does not have, or its limit is not known for, is passed over.

    Attributes:
        cases: how many training and validation cases it was made from.
        modalities: of the training cases, where known.
        means, spreads: by figure.
        features: None where the network gives none.
        limits: by part.
        scores: of the validation cases, ascending.
        limit: of scores.

    >>> rng = np.random.default_rng(0)
    >>> cases = [{"features": row, "spacing": np.zeros(3)} for row in rng.normal(size=(300, 4))]
    >>> scope = Scope.fit(cases[:200], cases[200:])
    >>> [scope.judge({"features": np.full(4, shift), "spacing": np.zeros(3)}).word for shift in (0.0, 5.0)]
    ['inside', 'outside']
    >>> Scope.of({"scope": scope.entry()}).judge(cases[0]) == scope.judge(cases[0])
    True
    """

    cases: tuple[int, int]
    modalities: tuple[str, ...]
    means: Mapping[str, np.ndarray]
    spreads: Mapping[str, np.ndarray]
    features: Gaussian | None
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
        rows = _rows(training, "features")
        features = None if rows is None else Gaussian.fit(rows)
        known = {str(seen["modality"]) for seen in training if seen.get("modality")}
        made = cls(cases, tuple(sorted(known)), means, spreads, features, {}, np.zeros(0), 1.0)
        far = [made._distances(seen) for seen in validation]
        limits = {
            part: max(_quantile([each[part] for each in far if part in each]), 3.0 if part in FIGURES else 1e-6)
            for part in sorted({part for each in far for part in each})
        }
        made = cls(cases, made.modalities, means, spreads, features, limits, made.scores, 1.0)
        scores = np.sort([max(made.quotients(seen).values(), default=0.0) for seen in validation]).astype(np.float32)
        return cls(
            cases, made.modalities, means, spreads, features, limits, scores, max(1.0, _quantile(scores.tolist()))
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
        if self.features is not None and seen.get("features") is not None:
            found["features"] = self.features.distance(seen["features"])
        return found

    def entry(self) -> dict[str, Any]:
        """The card's entry, plain JSON; arrays are base64 of their little-endian bytes."""
        return {
            "cases": list(self.cases),
            "quantile": QUANTILE,
            "limit": self.limit,
            "limits": dict(self.limits),
            "modalities": list(self.modalities),
            "figures": {name: _encoded(np.stack([self.means[name], self.spreads[name]])) for name in self.means},
            "features": None
            if self.features is None
            else {name: _encoded(values) for name, values in self.features.arrays().items()},
            "scores": _encoded(self.scores),
        }

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Scope | None:
        """That of a card that keeps the rules; None for one without."""
        entry = card.get("scope")
        if entry is None:
            return None
        figures = {name: _decoded(coded) for name, coded in entry["figures"].items()}
        features = entry["features"]
        return cls(
            cases=tuple(entry["cases"]),
            modalities=tuple(entry["modalities"]),
            means={name: both[0] for name, both in figures.items()},
            spreads={name: both[1] for name, both in figures.items()},
            features=None
            if features is None
            else Gaussian(**{name: _decoded(coded) for name, coded in features.items()}),
            limits=entry["limits"],
            scores=_decoded(entry["scores"]),
            limit=entry["limit"],
        )


def check_scope(entry: Any, rule: _Rule) -> None:
    """Refuse an entry that `Scope.of` could not take.

    Args:
        entry: `scope` of a card.
        rule: of `crossd.cards.rules`: entry, value, whether it is kept, and what it should be.
    """
    rule("scope", _names(entry), isinstance(entry, dict), "a dictionary, as training writes it")
    whole = entry.get("cases")
    kept = isinstance(whole, list) and len(whole) == 2 and all(type(n) is int and n > 0 for n in whole)
    rule("scope.cases", whole, kept, "the numbers of training and validation cases")
    rule("scope.quantile", entry.get("quantile"), entry.get("quantile") == QUANTILE, f"{QUANTILE}")
    rule("scope.limit", entry.get("limit"), _positive(entry.get("limit")), "a positive number")
    limits, names = entry.get("limits"), entry.get("modalities")
    kept = isinstance(limits, dict) and all(map(_positive, limits.values())) and {*limits} <= {*FIGURES, "features"}
    rule("scope.limits", limits, kept, f"positive numbers by part ({', '.join(FIGURES)}, features)")
    kept = isinstance(names, list) and all(isinstance(name, str) for name in names)
    rule("scope.modalities", names, kept, "a list of texts")
    figures = entry.get("figures")
    kept = isinstance(figures, dict) and {*figures} <= {*FIGURES}
    rule("scope.figures", _names(figures), kept, f"a dictionary of {', '.join(FIGURES)}")
    for name, coded in figures.items():
        both = _array(f"scope.figures.{name}", coded, rule)
        kept = both.ndim == 2 and len(both) == 2 and both.size > 0 and bool((both[1] > 0).all())
        rule(f"scope.figures.{name}", list(both.shape), kept, "means and positive standard deviations, (2, values)")
    features = entry.get("features")
    if features is not None:
        kept = isinstance(features, dict) and {*features} == {*Gaussian.NAMES}
        rule("scope.features", _names(features), kept, f"a dictionary of {', '.join(Gaussian.NAMES)}, or null")
        arrays = {name: _array(f"scope.features.{name}", coded, rule) for name, coded in features.items()}
        wrong = Gaussian.fault(arrays)
        rule("scope.features", {name: list(a.shape) for name, a in arrays.items()}, wrong is None, str(wrong))
    scores = _array("scope.scores", entry.get("scores"), rule)
    kept = scores.shape == (whole[1],) and bool((np.diff(scores) >= 0).all())
    rule("scope.scores", list(scores.shape), kept, f"the {whole[1]} scores of the validation cases, ascending")


def _names(entry: Any) -> Any:
    return list(entry) if isinstance(entry, dict) else entry


def _array(name: str, coded: Any, rule: _Rule) -> np.ndarray:
    try:
        values = _decoded(coded)
    except (TypeError, KeyError, ValueError):
        values = None
    shown = coded if values is None or not isinstance(coded, dict) else {**coded, "base64": "…"}
    kept = values is not None and bool(np.isfinite(values).all())
    rule(name, shown, kept, "finite numbers as {dtype, shape, base64}")
    assert values is not None
    return values


def _encoded(values: np.ndarray) -> dict[str, Any]:
    kind = values.dtype.newbyteorder("<")
    text = base64.b64encode(values.astype(kind).tobytes()).decode("ascii")
    return {"dtype": values.dtype.name, "shape": list(values.shape), "base64": text}


def _decoded(coded: Mapping[str, Any]) -> np.ndarray:
    kind = {"float16": "<f2", "float32": "<f4"}[coded["dtype"]]
    values = np.frombuffer(base64.b64decode(coded["base64"], validate=True), kind).reshape(coded["shape"])
    return values.astype(np.float32)


def _rows(cases: Sequence[Seen], name: str) -> np.ndarray | None:
    """What the cases have of a part, `(cases, values)`; None where one has not, or another number of values."""
    rows = [np.asarray(seen[name], np.float64) for seen in cases if seen.get(name) is not None]
    return np.stack(rows) if len(rows) == len(cases) and len({row.shape for row in rows}) == 1 else None


def _quantile(values: Sequence[float]) -> float:
    """The smallest value that `QUANTILE` of them do not exceed."""
    return float(np.quantile(values, QUANTILE, method="inverted_cdf"))


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
