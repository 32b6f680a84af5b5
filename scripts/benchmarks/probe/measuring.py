"""What the probe and the trivial baselines reach on a set: a line for each draw of labelled cases and each contest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from crossd.evaluation.metrics import classification_metrics
from crossd.evaluation.predictions import Predictions
from crossd.probe.choosing import Labelled, Recipe, each_and_all
from crossd.probe.frozen import VIEWS
from crossd.probe.trivial import KINDS

from scripts.benchmarks.probe.sets import ProbeSet
from scripts.benchmarks.transfer.tasks import Part, labelled_subset

RECIPE = Recipe()
COMPONENTS = 256
FIGURES = ("auc", "balanced_accuracy")


def drawn(part: Labelled, fraction: float, seed: int) -> np.ndarray:
    """The numbers of the cases whose labels a run may use: those of the transfer benchmark.

    >>> part = Labelled({"a": np.zeros((20, 1))}, np.eye(2)[[0] * 10 + [1] * 10], list("abcdefghijklmnopqrst"))
    >>> drawn(part, 0.2, seed=1).tolist(), len(drawn(part, 1, seed=0))
    ([0, 6, 13, 15], 20)
    """
    numbers = torch.arange(len(part))
    labels = torch.from_numpy(part.targets.argmax(1))
    return labelled_subset(Part(numbers, labels, tuple(part.patients)), fraction, seed).images.numpy()


def measure(found: ProbeSet, fraction: float, seed: int) -> Iterator[dict[str, Any]]:
    """Choose and fit on a draw, then measure on the test cases and on the training cases that were not drawn.

    Yields:
        For the probe, for the trivial baseline chosen in the same way, and for each candidate of both alone: `contest`,
        what was `chosen`, and the figures of both kinds of cases.
    """
    cases = drawn(found.train, fraction, seed)
    rest = np.setdiff1d(np.arange(len(found.train)), cases)
    unused = found.train.take(rest)
    pools = {name: unused.sets[name] for name in VIEWS} if len(rest) else None
    views, trivial = each_and_all(VIEWS, pools, COMPONENTS, usual=True), each_and_all(KINDS)
    groups = {"probe": views, "trivial": trivial, **{one.name: [one] for one in (*views, *trivial)}}
    for contest, fit in RECIPE.fit(found.train.take(cases), groups).items():
        choice = fit.choice
        line = {"set": found.name, "fraction": fraction, "seed": seed, "contest": contest}
        line |= {"chosen": choice.candidate.name, "C": choice.strength, "cases": len(cases)}
        line |= {"test": _figures(fit.logits(found.test), found.test, found.classes)}
        yield line | ({"unused": _figures(fit.logits(unused), unused, found.classes)} if len(rest) else {})


def _figures(logits: np.ndarray, cases: Labelled, names: Sequence[str]) -> dict[str, float]:
    probabilities, targets = torch.from_numpy(RECIPE.probabilities(logits)), torch.from_numpy(cases.targets)
    values = classification_metrics(Predictions.of(probabilities, targets, names, "multiclass"))
    return {name: round(values[name], 5) for name in FIGURES}
