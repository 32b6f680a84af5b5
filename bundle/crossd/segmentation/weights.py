"""The handler that loads what a segmentation network starts from."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from crossd.cards.from_weights import is_none
from crossd.cards.rules import SELF_SUPERVISED
from crossd.checkpoints import load_pretrained, read_checkpoint
from crossd.networks.monai_encoders import MONAI_ENCODERS
from crossd.training.pretrained import contradictions

logger = logging.getLogger(__name__)


class SegmentationWeightsLoader:
    """Loads weights of any layout that `crossd.load_pretrained` knows when the run starts, and logs its report.

    A classifier's or a self-supervised encoder's weights go into the encoder of a `CrossDUNet`, those of the encoder of
    one of MONAI's networks into that; the decoder then starts from random weights. A segmentation model's go into the
    whole network; the heads of a `CrossDUNet` are taken over only when its card names the very same classes
    in the same order, the last layer of another network whenever there are as many.

    Args:
        network: changed in place.
        weights: checkpoint file, or `"none"` for random weights.
        card: of the model to be trained.

    Raises:
        CrossDError: when the run starts, for a file that is missing, is no checkpoint, or is of another architecture.
    """

    def __init__(self, network: nn.Module, weights: str | None, card: Mapping[str, Any]) -> None:
        self.network = network
        self.weights = weights
        self.card = card

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; MONAI calls this."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.epoch:  # a trainer that goes on
            return
        if is_none(self.weights):
            logger.info("training starts from random weights")
            return
        content = read_checkpoint(str(self.weights))
        card = content.get("card") or {}
        state, allowed = content["model"], []
        heads = getattr(self.network, "head_part", None)
        if heads and card.get("task") == "segmentation" and card.get("class_names") != self.card["class_names"]:
            state = {name: value for name, value in state.items() if not name.startswith(f"{heads}.")}
            allowed = [f"{heads}.*"]
            logger.info("the heads start from random weights: the classes are %s", self.card["class_names"])
        if card.get("task") == SELF_SUPERVISED and card.get("encoder") in MONAI_ENCODERS:
            allowed = [name for name in self.network.state_dict() if name not in state]
        report = load_pretrained(self.network, {**content, "model": state}, allow_missing=allowed)
        logger.info("%s\n%s", self.weights, report)
        for difference in contradictions(card, self.card):
            logger.warning("%s: %s", self.weights, difference)
