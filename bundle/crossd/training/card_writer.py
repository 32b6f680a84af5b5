"""What is added to a trained model when training has ended: calibration, operating point and scope."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from crossd.callers import in_federated_round
from crossd.cards.isotonic import Isotonic
from crossd.cards.operating_point import FEWEST, OperatingPoint, check_rule
from crossd.cards.scope_entry import entry_of_scope
from crossd.cards.tasks import task_of
from crossd.checkpoints import read_checkpoint, save_checkpoint
from crossd.checkpoints.checkpoint_files import unwrap
from crossd.errors import CrossDError, one_of
from crossd.inference import WindowInferer
from crossd.processes import rank, wait_for_all
from crossd.training.calibration import HEAD, KINDS, by_isotonic, calibrated, case_probabilities
from crossd.training.scope import SeenCase, measured_scope, seen_cases

FEW = 50  # validation cases, below which it is said how many like them will be outside

logger = logging.getLogger(__name__)


class CardWriter:
    """Handler that calibrates `model.pt` and adds its operating point and its scope when training has ended.

    A number has no calibration and no operating point, a grade no operating point. All of it rests on validation and
    training cases; test cases are not read. It has no part in training: a run that is killed meanwhile does it when
    the command is given again. Attach it before `TrainingProgress`, which has the last word in the log. A round of
    federated learning leaves it out, for the server's model is another one.

    Args:
        output_dir: of the run.
        network: that of `model.pt`; it is not changed.
        cases, preprocessing, inferer: see `crossd.training.scope.seen_cases`.
        operating_point: rule of `crossd.cards.operating_point.check_rule`; None: the most probable class is said.
        calibration: "temperature", which is in the network then, or "isotonic", in the card; None: neither.

    Raises:
        CrossDError: for another rule.
    """

    def __init__(
        self,
        output_dir: str,
        network: nn.Module,
        cases: Mapping[str, Sequence[Mapping[str, Any]]],
        preprocessing: Callable[[dict[str, Any]], Mapping[str, Any]],
        inferer: WindowInferer,
        operating_point: str | None = "youden",
        calibration: str | None = "temperature",
    ) -> None:
        if operating_point is not None:
            check_rule(operating_point)
        self.path = Path(output_dir) / "model.pt"
        self.network = network
        self.cases = cases
        self.preprocessing = preprocessing
        self.inferer = inferer
        self.rule = operating_point
        self.calibration = None if calibration is None else one_of("calibration", calibration, KINDS)

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; MONAI calls this."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if rank() == 0 and self.path.is_file() and not in_federated_round():
            self.write()
        wait_for_all()

    def write(self) -> None:
        """Add what is not there; what cannot be said of these cases is left out, and the log says so."""
        content = read_checkpoint(self.path)
        card, state = content.pop("card"), content.pop("model")
        classifies = task_of(card["task"]).classifies
        same_rule = not _decides(card) or (card.get("operating_point") or {}).get("rule") == self.rule
        if {"scope", *(["calibration"] if classifies and self.calibration else [])} <= {*card} and same_rule:
            return
        network = copy.deepcopy(unwrap(self.network))
        network.load_state_dict(state)
        seen = seen_cases(card, network, self.cases, self.preprocessing, self.inferer, progress=True)
        state, entries = self._said(card, state, seen["val"])
        try:
            scope = measured_scope(seen)
            entries["scope"] = entry_of_scope(scope)
            if scope.cases[1] < FEW:
                logger.warning(
                    "the limit of the scope comes from %d validation cases: about 1 in %d cases like them will be "
                    "outside",
                    scope.cases[1],
                    scope.cases[1] + 1,
                )
        except CrossDError as error:
            logger.warning(
                "%s has no scope, so inference cannot tell cases that are unlike these: %s", self.path, error
            )
        save_checkpoint(self.path, state, {**card, **entries}, **content)

    def _said(
        self, card: Mapping[str, Any], state: dict[str, Tensor], seen: Sequence[SeenCase]
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The state with a calibrated head, and the entries that are new in the card."""
        entries: dict[str, Any] = {"operating_point": None}
        if not seen or not {*HEAD} <= {*state} or not task_of(card["task"]).classifies:
            return state, entries
        evidence, targets = [one.evidence for one in seen], _targets(seen, card)
        temperature, curves = 1.0, Isotonic.of(card)
        if self.calibration is None or "calibration" in card:
            pass  # it is in the network or in the card already
        elif min(targets.sum(0).min(), (1 - targets).sum(0).min()) < FEWEST:
            what = "a temperature" if self.calibration == "temperature" else "isotonic calibration"
            logger.warning("%s needs %d validation cases of each class: none is fitted", what, FEWEST)
        else:
            if self.calibration == "isotonic":
                curves, entries["calibration"] = by_isotonic(evidence, targets, card["task"])
                entries["isotonic"] = curves.entry(card["class_names"])
            else:
                state, entries["calibration"] = calibrated(state, evidence, targets, card["task"])
                temperature = entries["calibration"]["temperature"]
            logger.info("calibrated on %d validation cases: %s", len(seen), calibration_words(entries["calibration"]))
        if self.rule is not None and _decides(card):
            said = case_probabilities(evidence, card["task"], temperature)
            said = said if curves is None else curves(said)
            point = OperatingPoint.of({**card, "operating_point": None}).chosen(
                said.numpy(), targets.numpy(), self.rule
            )
            entries["operating_point"] = point.entry()
            logger.info("operating point by %s on %d validation cases: %s", self.rule, len(seen), point.words)
            if point.limits and not point.thresholds:
                logger.warning(
                    "a threshold needs %d validation cases with a class and %d without: it stays 0.5", FEWEST, FEWEST
                )
        return state, entries


def _decides(card: Mapping[str, Any]) -> bool:
    """Whether a threshold decides what is said."""
    task = task_of(card["task"])
    return task.classifies and not task.ordered


def calibration_words(entry: Mapping[str, Any]) -> str:
    """A card's entry `calibration` in words.

    >>> change = {"before": 0.5, "after": 0.25}
    >>> calibration_words({"temperature": 2.0, "loss": change, "calibration_error": change})
    'temperature 2.00, negative log-likelihood 0.500 → 0.250, calibration error 0.500 → 0.250'
    """
    changes = {"negative log-likelihood": entry["loss"], "calibration error": entry["calibration_error"]}
    said = [f"{name} {change['before']:.3f} → {change['after']:.3f}" for name, change in changes.items()]
    how = f"temperature {entry['temperature']:.2f}" if "temperature" in entry else "isotonic"
    return ", ".join([how, *said])


def _targets(seen: Sequence[SeenCase], card: Mapping[str, Any]) -> Tensor:
    """0 or 1 `(cases, classes)`."""
    labels = torch.tensor([one.item["label"] for one in seen])
    return labels if labels.ndim == 2 else nn.functional.one_hot(labels, len(card["class_names"]))
