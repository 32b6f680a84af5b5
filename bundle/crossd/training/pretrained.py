"""The handler that loads the weights training starts from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from torch import nn

from crossd.callers import in_federated_round
from crossd.cards.from_weights import card_of, is_none
from crossd.cards.tasks import REGRESSION
from crossd.checkpoints import TransferReport, load_pretrained, read_checkpoint

logger = logging.getLogger(__name__)


class PretrainedCheckpointLoader:
    """Loads weights of any layout that `crossd.load_pretrained` knows when the run starts, and logs its report.

    A round of federated learning starts from the server's weights instead.

    The head is taken over only when the checkpoint's card names the very same classes, or number, in the same order;
    otherwise it keeps the values it was initialised with, since its outputs would mean something else.

    Args:
        network: changed in place.
        weights: checkpoint file, or `"none"` for random weights.
        class_names: what the network is to tell apart.
        head: name of the network's last layer.
        card: of the model to be trained. Where the checkpoint's card has another mean or std, which its weights were
            trained with, that is said in a warning.
        fill: what becomes of plain 2D kernels; see `crossd.load_pretrained`.

    Raises:
        CrossDError: when the run starts, for a file that is missing, is no checkpoint, or is of another architecture.
    """

    def __init__(
        self,
        network: nn.Module,
        weights: str | None,
        class_names: Sequence[str],
        head: str = "fc",
        card: Mapping[str, Any] | None = None,
        fill: str | None = None,
    ) -> None:
        self.card = card
        self.fill = fill
        self.network = network
        self.weights = weights
        self.class_names = list(class_names)
        self.head = head

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; MONAI calls this."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.epoch or in_federated_round():  # a trainer that goes on, or one with the server's weights
            return
        if is_none(self.weights):
            logger.info("training starts from random weights")
            return
        content = read_checkpoint(str(self.weights))
        card = card_of(str(self.weights), content)
        logger.info("%s\n%s", self.weights, self.load(content, card))
        for difference in contradictions(card, self.card):
            logger.warning("%s: %s", self.weights, difference)

    def load(self, content: Mapping[str, Any], card: Mapping[str, Any]) -> TransferReport:
        """Take over what a checkpoint holds; its card is empty where it has none."""
        head = self.network.get_submodule(self.head)
        fresh = {name: value.clone() for name, value in head.state_dict().items()}
        report = load_pretrained(self.network, content, fill=self.fill)
        tasks = {(of or {}).get("task") == REGRESSION for of in (card, self.card)}
        if card.get("class_names") != self.class_names or len(tasks) > 1:
            head.load_state_dict(fresh)
            logger.info("the head starts from random weights: the classes are %s", self.class_names)
        return report


def contradictions(stored: Mapping[str, Any], configured: Mapping[str, Any] | None) -> list[str]:
    """Where a run shows a network its input in another way than the checkpoint it starts from has seen it.

    >>> card = {"input": {"mean": 0.3, "std": 0.2}}
    >>> contradictions(card, {"input": {"mean": 0.0, "std": 0.2}})
    ['its card says mean 0.3, the run has 0.0: the weights expect the former. Leave --mean out to take it over.']
    >>> contradictions(card, {"input": {"mean": [0.3], "std": [0.2]}})
    []
    """
    if configured is None or "input" not in stored:
        return []
    seen = dict(stored["input"])
    if configured["input"].get("pseudo_3d") and stored.get("pseudo_3d"):  # self-supervised on images and volumes
        seen |= {name: stored["pseudo_3d"][name] for name in ("mean", "std")}
    return [
        f"its card says {name} {seen[name]}, the run has {configured['input'][name]}: the weights expect "
        f"the former. Leave --{name} out to take it over."
        for name in ("mean", "std")
        if not _equal(seen[name], configured["input"][name])
    ]


def _equal(a: Any, b: Any) -> bool:
    """Whether numbers, or lists of one for each channel, mean the same; one number is for all channels."""
    one, other = np.ravel(a), np.ravel(b)
    return bool(np.all(one == other)) if 1 in (one.size, other.size) or one.size == other.size else False


class TrainedCheckpointLoader:
    """Loads a trained model, head included, when the run starts.

    Args:
        weights: checkpoint file; anything that does not fit whole is an error.

    Raises:
        CrossDError: when the run starts, for a file that is missing, is no checkpoint, or is of another network.
    """

    def __init__(self, network: nn.Module, weights: str) -> None:
        self.network = network
        self.weights = weights

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator; MONAI calls this."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        load_pretrained(self.network, self.weights, strict_head=True)
        logger.info("weights loaded from %s", self.weights)
