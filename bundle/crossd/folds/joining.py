"""The models of the folds as one, whose probabilities are the mean of theirs, calibrated on what they had not seen."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from crossd.checkpoints import read_checkpoint, save_checkpoint
from crossd.errors import CrossDError
from crossd.evaluation import Predictions

logger = logging.getLogger(__name__)
SOFTEST = 10.0


def fitted_temperature(predictions: Predictions) -> float:
    """By what logits are divided so that predictions are likeliest, 1 to `SOFTEST`.

    It never sharpens: a few cases, all of them right, would make it certain of everything.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017.

    >>> sure = torch.tensor([[0.99, 0.01]] * 10)
    >>> targets = torch.tensor([[1, 0]] * 7 + [[0, 1]] * 3)
    >>> said = Predictions([""] * 10, [""] * 10, [""] * 10, sure, targets, ["a", "b"], "multiclass")
    >>> (sure.log() / fitted_temperature(said)).softmax(1)[0].round(decimals=2).tolist()  # right in 7 of 10
    [0.7, 0.3]
    """
    from scipy.optimize import minimize_scalar

    chances = predictions.probabilities.double().clamp(1e-7, 1 - 1e-7)
    targets = predictions.targets.double()

    def unlikely(temperature: float) -> float:
        if predictions.task == "multilabel":
            return float(F.binary_cross_entropy_with_logits(chances.logit() / temperature, targets))
        return float(F.cross_entropy(chances.log() / temperature, targets))

    return float(minimize_scalar(unlikely, bounds=(1.0, SOFTEST), method="bounded").x)


def join_models(paths: Sequence[Path], path: Path, metrics: Mapping[str, Any], temperature: float = 1.0) -> None:
    """Write the model whose members are trained ones, as a checkpoint with its card, whole or not at all.

    Its scope is the first member's, whose features it gives; in a cross-validation its test cases set the limits too.

    Args:
        paths: the `model.pt` of runs that differ in their cases alone.
        path: of the new one.
        metrics: entry of its card.
        temperature: of every member.

    Raises:
        CrossDError: for models of other networks, classes or input than each other.
    """
    state: dict[str, torch.Tensor] = {"temperatures": torch.full((len(paths),), temperature)}
    cards = []
    for number, member in enumerate(paths):
        content = read_checkpoint(member)
        cards.append(content["card"])
        same = ("task", "class_names", "negative_class", "network", "input")
        other = [name for name in same if cards[-1][name] != cards[0][name]]
        if other:
            raise CrossDError(
                f"Members of an ensemble differ in their weights alone; {member} differs from {paths[0]} in "
                f"{', '.join(other)}. Train them under the same settings."
            )
        state |= {f"members.{number}.{name}": value for name, value in content["model"].items()}
    first = cards[0]
    sizes = {name: first["network"][name] for name in ("spatial_dims", "in_channels", "num_classes")}
    own = {name: value for name, value in first["network"].items() if name not in sizes}
    network = {"name": "Ensemble", **sizes, "member": own, "count": len(paths)}
    network["exclusive"] = first["task"] != "multilabel"
    save_checkpoint(path, state, {**first, "network": network, "metrics": dict(metrics)})
    logger.info("the model of all %d is %s (%.1f MB)", len(paths), path, path.stat().st_size / 1e6)
