"""The network that a model card describes, and the handler that gives it its weights."""

from __future__ import annotations

import logging
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from torch import nn

from crossd.cards.by_monai import card_to_build, with_its_weights
from crossd.cards.memory import built
from crossd.checkpoints import load_pretrained
from crossd.errors import CrossDError
from crossd.inference.backends import Accelerated
from crossd.networks import Classifier, build_classifier


def network_from_card(card: dict[str, Any], training: bool = True, **changes: Any) -> Classifier:
    """Build the network of a card, with random weights; the head of a regression starts at the target's mean.

    While MONAI exports or loads a checkpoint (`crossd.cards.by_monai`), it is that of the checkpoint's card.

    Args:
        card: what `crossd.checkpoints.read_card` returns. Its `network` is what `crossd.networks.build_classifier`
            takes.
        training: False for evaluation mode.
        changes: arguments that replace those of the card.

    Raises:
        CrossDError: when the card does not describe a classifier, one with another number of classes than names, or one
            that does not fit into memory.

    >>> arguments = {"spatial_dims": 3, "in_channels": 1, "num_classes": 2, "width": 4}
    >>> card = {"class_names": ["healthy", "aneurysm"], "network": arguments}
    >>> network_from_card(card).fc
    Linear(in_features=32, out_features=2, bias=True)
    """
    card = card_to_build(card)
    arguments = {**card["network"], **changes}
    if card.get("task") == "self_supervised":
        raise CrossDError(
            "a self-supervised encoder answers nothing yet, got one to predict with: fine-tune it first, with "
            "configs/train.json --weights FILE"
        )
    if card.get("task") == "segmentation":
        raise CrossDError(
            "a classifier gives one answer for a volume, got a model that segments: use it with "
            "configs/inference_segmentation.json"
        )
    if "num_classes" not in changes and arguments.get("num_classes") != len(card["class_names"]):
        raise CrossDError(
            f"a model card names each class of its network, got {len(card['class_names'])} names for "
            f"{arguments.get('num_classes')} classes: correct class_names or network.num_classes"
        )
    try:
        network = built(lambda: build_classifier(arguments), {**card, "network": arguments})
        head = getattr(network, "fc", None)
        if card.get("target") and isinstance(head, nn.Linear):
            _in_unit(head, card["target"])
        return (network if changes else with_its_weights(network)).train(training)  # type: ignore[return-value]
    except CrossDError:
        raise
    except Exception as error:  # whatever a layer fails of
        raise CrossDError(
            f"a model card's network must be the arguments of its class, got {arguments} ({error}): correct "
            "the card, or write the checkpoint again with this version of crossd"
        ) from error


@torch.no_grad()
def _in_unit(head: nn.Linear, target: dict[str, float]) -> None:
    """A head with random weights as one that says a number in its unit: the mean, give or take the scale."""
    head.weight.mul_(target["scale"])
    head.bias.mul_(target["scale"]).add_(target["mean"])


class LoadWeights:
    """Handler that loads a checkpoint, head included, into the network before the run starts, and makes it fast.

    The evaluator then runs `crossd.inference.Accelerated(network, backend)`: plain convolutions wherever the kernels do
    not depend on the input, by a runtime that is compared with PyTorch on the first batch. The network itself keeps its
    layers and holds the weights too.

    Args:
        path: a checkpoint that fits the network whole; anything else is an error and the run does not start.
        network: the evaluator's network.
        backend: one of `crossd.inference.BACKENDS`.

    Raises:
        CrossDError: at the start of the run, when the file is missing or is not of this network, the backend does not
            exist, is not installed or cannot run this network, or one other than "auto" and "eager" meets `amp`.
    """

    def __init__(self, path: str, network: nn.Module, backend: str = "auto") -> None:
        self.path = path
        self.network = network
        self.backend = backend
        self.logger = logging.getLogger(type(self).__name__)

    def attach(self, engine: SupervisedEvaluator) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: SupervisedEvaluator) -> None:
        """Load, and give the evaluator the accelerated network."""
        self.load()
        accelerated = Accelerated(self.network, self.backend)
        if engine.amp and self.backend not in ("auto", "eager"):
            raise CrossDError(
                f"a backend by name computes in float32, got backend {self.backend!r} with amp: leave one of them out"
            )
        engine.network = accelerated

    def load(self) -> None:
        """Give the network its weights."""
        load_pretrained(self.network, self.path, strict_head=True)
        self.logger.info(f"weights loaded from {self.path}")
