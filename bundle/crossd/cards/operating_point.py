"""From which probability on a class is said: chosen on validation cases, kept as the entry `operating_point`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from crossd.cards.tasks import task_of
from crossd.errors import CrossDError

FEWEST = 5  # validation cases with a class, and without it, below which a threshold would be one of chance
ROUNDING = 1e-9  # of sums of probabilities
RULES = {
    "youden": "the largest sensitivity + specificity (Youden 1950)",
    "sensitivity": "the largest specificity where the sensitivity is at least that",
    "specificity": "the largest sensitivity where the specificity is at least that",
    "costs": "the least cost, where a missed case costs as many times a false alarm",
}
_Rule = Callable[[str, Any, bool, str], None]


@dataclass(frozen=True)
class OperatingPoint:
    """How the probabilities of a case become an answer.

    Of two classes that exclude each other the positive one is said from its threshold on; of several the most probable
    one is; classes that do not exclude each other are said each from its own threshold on. Without thresholds 0.5 is
    meant. Of grades the median is said, by which the expected number of steps that it is off is least; no threshold
    changes that.

    Attributes:
        task: of `crossd.cards.tasks.TASKS`.
        class_names: of the model.
        negative_class: index of the class that means "absent", or None.
        thresholds: by class, of the class against the rest, where one was chosen; of two classes the positive one's.
        rule: by which they were chosen, see `check_rule`; empty where they were not.
        cases: how many validation cases that rests on.

    >>> point = OperatingPoint("multiclass", ("well", "ill"), 0, {"ill": 0.3})
    >>> point.decide([[0.8, 0.2], [0.6, 0.4]]).tolist(), point.words
    ([[1, 0], [0, 1]], 'ill from 0.300 on')
    """

    task: str
    class_names: tuple[str, ...]
    negative_class: int | None = None
    thresholds: Mapping[str, float] | None = None
    rule: str = ""
    cases: int = 0

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> OperatingPoint:
        """That of a card that keeps the rules; an older one has no thresholds."""
        entry = card.get("operating_point") or {}
        negative, task = card.get("negative_class"), card.get("task", "multiclass")
        return cls(task, tuple(card["class_names"]), negative, entry.get("thresholds"), **_about(entry))

    @property
    def positive(self) -> int | None:
        """Of two classes that exclude each other, the index of the one that is looked for: not the negative one, or
        the second; None for other models."""
        if self.task == "multilabel" or len(self.class_names) != 2:
            return None
        return 1 if self.negative_class is None else 1 - self.negative_class

    @property
    def limits(self) -> dict[str, float]:
        """From which probability on classes are said; empty where the most probable one is."""
        if self.task == "multilabel":
            return {name: (self.thresholds or {}).get(name, 0.5) for name in self.class_names}
        positive = None if self.positive is None else self.class_names[self.positive]
        return {} if positive is None else {positive: (self.thresholds or {}).get(positive, 0.5)}

    @property
    def words(self) -> str:
        """What is said when."""
        if task_of(self.task).ordered:
            return "the median: the lowest grade that has, with those below it, half of the probability"
        return (
            ", ".join(f"{name} from {limit:.3f} on" for name, limit in self.limits.items()) or "the most probable class"
        )

    def decide(self, probabilities: ArrayLike) -> np.ndarray:
        """Answers, 0 or 1 `(cases, classes)`, of probabilities `(cases, classes)`.

        >>> OperatingPoint("ordinal", ("0", "1", "2")).decide([[0.4, 0.2, 0.4]]).tolist()
        [[0, 1, 0]]
        """
        values = np.asarray(probabilities, np.float64)
        limits = [*self.limits.values()]
        if self.task == "multilabel":
            return (values >= limits).astype(np.int64)
        ordered = task_of(self.task).ordered
        most = (values.cumsum(1) >= 0.5 - ROUNDING).argmax(1) if ordered else values.argmax(1)
        if self.positive is not None:
            most = np.where(values[:, self.positive] >= limits[0], self.positive, 1 - self.positive)
        return np.eye(len(self.class_names), dtype=np.int64)[most]

    def chosen(self, probabilities: ArrayLike, targets: ArrayLike, rule: str) -> OperatingPoint:
        """The same with thresholds by a rule, for the classes of which there are `FEWEST` cases with and without.

        A threshold lies half-way between the probabilities of the cases that it parts. Of equally good ones it is the
        one nearest to 0.5.

        Args:
            probabilities, targets: of validation cases, `(cases, classes)`; targets are 0 or 1.
            rule: see `check_rule`.

        >>> chances, ill = np.linspace(0, 1, 10), np.arange(10) >= 6
        >>> point = OperatingPoint("multiclass", ("well", "ill"))
        >>> chosen = point.chosen(np.stack([1 - chances, chances], 1), np.stack([~ill, ill], 1), "youden")
        >>> chosen.thresholds  # of too few that are ill
        {}
        """
        kind, value = check_rule(rule)
        looked_at = range(len(self.class_names)) if self.positive is None else [self.positive]
        rows, truth = np.asarray(probabilities, np.float64), np.asarray(targets).astype(bool)
        found = {
            self.class_names[index]: _threshold(rows[:, index], truth[:, index], kind, value)
            for index in looked_at
            if min(truth[:, index].sum(), (~truth[:, index]).sum()) >= FEWEST
        }
        return OperatingPoint(self.task, self.class_names, self.negative_class, found, rule, len(rows))

    def entry(self) -> dict[str, Any]:
        """The card's entry, plain JSON."""
        return {"rule": self.rule, "thresholds": dict(self.thresholds or {}), "cases": self.cases}


def check_rule(rule: str) -> tuple[str, float]:
    """A rule's name and its number.

    Args:
        rule: "youden", "sensitivity:X" or "specificity:X" with X in 0 to 1, or "costs:X" with X above 0; see `RULES`.

    Raises:
        CrossDError: for any other.

    >>> check_rule("sensitivity:0.95")
    ('sensitivity', 0.95)
    """
    kind, _, number = rule.partition(":")
    try:
        value = float(number or "nan")
    except ValueError:
        value = -1.0
    within = {"youden": number == "", "costs": 0 < value < np.inf}.get(kind, 0 < value <= 1)
    if kind not in RULES or not within:
        raise CrossDError(
            f"operating_point must be youden, sensitivity:X or specificity:X with X above 0 and at most 1, or costs:X "
            f"with X above 0, got {rule!r}. Example: --operating_point sensitivity:0.95."
        )
    return kind, value


def check_operating_point(entry: Any, class_names: Sequence[str], rule: _Rule) -> None:
    """Refuse an entry that `OperatingPoint.of` could not take.

    Args:
        entry: `operating_point` of a card.
        rule: of `crossd.cards.rules`: entry, value, whether it is kept, and what it should be.
    """
    rule("operating_point", entry, isinstance(entry, dict), "a dictionary, as training writes it")
    limits, cases = entry.get("thresholds"), entry.get("cases")
    kept = isinstance(limits, dict) and {*limits} <= {*class_names}
    kept = kept and all(type(one) in (int, float) and 0 <= one <= 1 for one in limits.values())
    rule("operating_point.thresholds", limits, kept, "numbers in 0 to 1 by class")
    rule("operating_point.cases", cases, type(cases) is int and cases > 0, "the number of validation cases")
    said = entry.get("rule")
    rule("operating_point.rule", said, isinstance(said, str), "a text, as --operating_point has it")


def _about(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("rule", "cases") if name in entry}


def _threshold(scores: np.ndarray, truth: np.ndarray, kind: str, value: float) -> float:
    """The best of the thresholds of a ROC curve."""
    from sklearn.metrics import roc_curve

    false, true, cuts = roc_curve(truth, scores, drop_intermediate=False)
    cuts = np.clip(cuts, 0, 1)  # the first is infinite: nobody is positive
    between = (cuts + np.append(cuts[1:], 0)) / 2
    goodness = {
        "youden": true - false,
        "sensitivity": np.where(true >= value, -false, -np.inf),
        "specificity": np.where(1 - false >= value, true, -np.inf),
        "costs": -(value * (1 - true) * truth.sum() + false * (~truth).sum()),
    }[kind]
    best = np.flatnonzero(goodness >= goodness.max() - 1e-12)
    return float(between[best[np.abs(between[best] - 0.5).argmin()]])
