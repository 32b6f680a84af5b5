"""Probabilities that mean what they say, by validation cases: one temperature, folded into the head, or curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from crossd.cards.isotonic import Isotonic
from crossd.evaluation.metrics import calibration_error, negative_log_likelihood
from crossd.inference.window_map import WindowEvidence

COLDEST, HOTTEST = 0.05, 20.0
HEAD = ("fc.weight", "fc.bias")  # of every classifier
KINDS = ("temperature", "isotonic")


def case_probabilities(evidence: Sequence[WindowEvidence], task: str, temperature: float = 1.0) -> Tensor:
    """Probabilities `(cases, classes)` that a model would give were its logits divided by a temperature."""
    return torch.stack([_at(one, task, temperature).aggregate() for one in evidence])


def _at(evidence: WindowEvidence, task: str, temperature: float) -> WindowEvidence:
    return replace(evidence, probabilities=tempered(evidence.probabilities, task, temperature))


def tempered(probabilities: Tensor, task: str, temperature: float) -> Tensor:
    """Probabilities `(cases, classes)` were their logits divided by a temperature.

    >>> tempered(torch.tensor([[0.8, 0.2]]), "multiclass", 0.5).round(decimals=3).tolist()
    [[0.941, 0.059]]
    """
    said = probabilities.double()
    if task == "multilabel":
        return (said.logit(1e-9) / temperature).sigmoid()
    return (said.clamp(min=1e-30).log() / temperature).softmax(1)


def fit_temperature(said: Callable[[float], Tensor], targets: Tensor, task: str) -> float:
    """The temperature under which the answers to validation cases are least surprising.

    The targets are a little less than certain, by how many cases there are (Platt 1999, section 2.2: of a class with n
    cases (n + 1) / (n + 2)), so that a few cases that are all right do not make a model sure of everything.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2.

    Args:
        said: of a temperature the probabilities `(cases, classes)`, as `case_probabilities` or `tempered` has them.
        targets: `(cases, classes)`, 0 or 1.
        task: `"multiclass"` or `"multilabel"`.
    """
    from scipy.optimize import minimize_scalar

    soft = smoothed(targets, task)
    found = minimize_scalar(
        lambda log: negative_log_likelihood(said(float(np.exp(log))), soft, task),
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return float(np.exp(found.x))


def smoothed(targets: Tensor, task: str) -> Tensor:
    """Targets by Platt's rule.

    >>> smoothed(torch.tensor([[0, 1], [0, 1], [1, 0]]), "multiclass").round(decimals=3).tolist()
    [[0.25, 0.75], [0.25, 0.75], [0.667, 0.333]]
    """
    targets = targets.double()
    count = targets.sum(0)
    sure = targets * (count + 1) / (count + 2)
    if task == "multilabel":
        return sure + (1 - targets) / (len(targets) - count + 2)
    return sure + (1 - targets) * (1 - sure.sum(1, keepdim=True)) / (targets.shape[1] - 1)


def by_isotonic(
    evidence: Sequence[WindowEvidence], targets: Tensor, task: str
) -> tuple[Isotonic, dict[str, float | dict[str, float]]]:
    """A rising curve for each class, and the card's entry `calibration`; targets are `smoothed`, as of a temperature,
    so that nothing becomes impossible.

    Returns:
        The curves; and `cases`, `loss` and `calibration_error` as of `calibrated`.
    """
    said = case_probabilities(evidence, task)
    curves = Isotonic.fit(task, said, smoothed(targets, task))
    return curves, changes({"before": said, "after": curves(said)}, targets, task)


def changes(both: Mapping[str, Tensor], targets: Tensor, task: str) -> dict[str, float | dict[str, float]]:
    """How much less surprising probabilities `before` and `after` are: `cases`, `loss` and `calibration_error`."""
    return {
        "cases": len(targets),
        "loss": {when: negative_log_likelihood(said, targets, task) for when, said in both.items()},
        "calibration_error": {when: calibration_error(said, targets, task) for when, said in both.items()},
    }


def calibrated(
    state: Mapping[str, Tensor], evidence: Sequence[WindowEvidence], targets: Tensor, task: str
) -> tuple[dict[str, Tensor], dict[str, float | dict[str, float]]]:
    """A state dict whose head gives logits divided by the fitted temperature, and the card's entry `calibration`.

    That is exact, for the head is linear, and whatever runs the model says calibrated probabilities.

    Returns:
        The state; and `temperature`, `cases`, and of the validation cases `loss` (negative log-likelihood) and
        `calibration_error`, each `before` and `after`.
    """
    temperature = fit_temperature(lambda degree: case_probabilities(evidence, task, degree), targets, task)
    both = {"before": case_probabilities(evidence, task), "after": case_probabilities(evidence, task, temperature)}
    return at_temperature(state, temperature), {"temperature": temperature, **changes(both, targets, task)}


def at_temperature(state: Mapping[str, Tensor], temperature: float) -> dict[str, Tensor]:
    """A state dict whose head gives logits divided by a temperature."""
    return {name: value / temperature if name in HEAD else value for name, value in state.items()}
