"""What a probe found: figures with intervals by patient, and plain sentences on whether there is a signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from crossd.errors import counted
from crossd.evaluation import Predictions
from crossd.evaluation.figure import Figure

WIDE = 0.2  # an interval of the AUC that says little
FEW = 50  # patients of the rarest class, below which more labels are the first thing to try


@dataclass(frozen=True)
class Finding:
    """What the sentences rest on.

    Attributes:
        auc: of the probe, on cases that neither chose nor trained it; of grades weighted kappa, of a regression R².
        trivial: name of the trivial baseline that was chosen; auc of it.
        trivial_auc: of that.
        ahead: AUC of the probe minus that of the baseline, paired.
        patients: that it was measured on.
        rarest: class with the fewest patients to learn from, where there are classes; how many these are.
        fewest: of it, or of all.
        measured: on what, in words.
        called: what the figure is called.
        chance: what it is where nothing was learned.
        beside: what else is said of the probe, with a comma before it.
    """

    auc: Figure
    trivial: str
    trivial_auc: Figure
    ahead: Figure
    patients: int
    rarest: str
    fewest: int
    measured: str
    called: str = "AUC"
    chance: float = 0.5
    beside: str = ""


def signal(finding: Finding) -> str:
    """In one word: "none", "trivial", "level" or "ahead"."""
    seen = finding.auc.low is not None and finding.auc.low > finding.chance
    trivial = finding.trivial_auc.low is not None and finding.trivial_auc.low > finding.chance
    if finding.ahead.high is not None and finding.ahead.high < 0 and trivial:
        return "trivial"
    if not seen:
        return "trivial" if trivial else "none"
    return "ahead" if finding.ahead.low is not None and finding.ahead.low > 0 else "level"


def verdict(finding: Finding) -> str:
    """The sentences.

    >>> figures = Figure(0.9, 0.84, 0.95), "shape", Figure(0.8, 0.7, 0.88), Figure(0.1, 0.02, 0.18)
    >>> verdict(Finding(*figures, 120, "ill", 60, "the test cases"))[:83]
    'There is a signal: AUC 0.90 (95 % 0.84 to 0.95) on the test cases of 120 patients. '
    """
    f, found = finding, signal(finding)
    where = f"on {f.measured} of {counted(f.patients, 'patient')}"
    name, chance = f.called, "chance can" if f.rarest else "always saying the mean can"
    baseline = f"the best trivial baseline ({f.trivial}, {name} {f.trivial_auc})"
    difference = f"{f.ahead.value:+.2f}" + (
        "" if f.ahead.low is None else f", 95 % {f.ahead.low:+.2f} to {f.ahead.high:+.2f}"
    )
    said = {
        "none": f"No signal was found: {name} {f.auc} {where}{f.beside}, which {chance} give.",
        "trivial": f"The trivial baseline wins: {name} {f.trivial_auc} by {f.trivial} alone, {f.auc} by the frozen "
        f"network {where}{f.beside} (difference {difference}).",
        "level": f"There is a signal: {name} {f.auc} {where}{f.beside}. It is not told from {baseline}: difference "
        f"{difference}.",
        "ahead": f"There is a signal: {name} {f.auc} {where}{f.beside}. It is ahead of {baseline}: difference "
        f"{difference}.",
    }[found]
    return f"{said} {_sure(f)} {_next(f, found)}"


def _sure(f: Finding) -> str:
    if f.auc.low is None or f.auc.high is None:
        return "Nobody can say how sure that is: there are too few patients for an interval."
    if f.auc.high - f.auc.low > WIDE:
        return f"That is not sure: the interval is {f.auc.high - f.auc.low:.2f} wide."
    return f"That is fairly sure: the interval is {f.auc.high - f.auc.low:.2f} wide."


def _next(f: Finding, found: str) -> str:
    who = f"{f.rarest!r} has {counted(f.fewest, 'patient')}" if f.rarest else counted(f.fewest, "patient")
    more = f"label more cases ({who})"
    if found == "none":
        return f"Next: check the labels, crop the volumes to the organ in question, other weights, or {more}."
    if found == "trivial":
        return (
            f"Next: use what {f.trivial} says, and ask whether scanners or protocols differ "
            f"{'between the classes' if f.rarest else 'with the number'}; the network adds nothing here."
        )
    if f.fewest < FEW:
        return f"Next: {more}, then run the probe again, before any training."
    if found == "level":
        return "Next: ask whether size, shape or brightness is all there is to see; if not, fine-tune with train.json."
    return "Next: use model.pt with inference.json, and see whether fine-tuning with train.json is better."


def predictions_of(
    cases: Sequence[Mapping[str, Any]], probabilities: np.ndarray, targets: np.ndarray, names: Sequence[str], task: str
) -> Predictions:
    """Probabilities and targets `(cases, classes)` of cases, or numbers, as `crossd.evaluation` takes them."""
    called, patients, sources = ([str(case[key]) for case in cases] for key in ("case", "patient", "source"))
    return Predictions(
        called, patients, sources, torch.from_numpy(probabilities), torch.from_numpy(targets), list(names), task
    )
