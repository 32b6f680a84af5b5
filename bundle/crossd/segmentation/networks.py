"""Which network segments, `CrossDUNet` or any of MONAI's, and the weights it starts from."""

from __future__ import annotations

import contextlib
import difflib
import logging
from collections.abc import Mapping
from typing import Any

import monai.networks.nets
from torch import nn

from crossd.cards.by_monai import card_to_build, with_its_weights
from crossd.cards.memory import built
from crossd.cards.rules import SELF_SUPERVISED
from crossd.checkpoints import TransferReport, load_pretrained
from crossd.conv import crossd_convs
from crossd.errors import CrossDError, one_of
from crossd.networks import CrossDUNet
from crossd.networks.classifiers import MONAI_ENCODERS
from crossd.training.pretrained import PretrainedCheckpointLoader

logger = logging.getLogger(__name__)

OWN = "CrossDUNet"
CONVS = ("plain", "crossd")


def segmentation_network(card: Mapping[str, Any], training: bool = True) -> nn.Module:
    """Build the network of a segmentation card, with random weights.

    While MONAI exports or loads a checkpoint (`crossd.cards.by_monai`), it is that of the checkpoint's card.

    Args:
        card: its `network` holds `name` (`"CrossDUNet"`, which is meant where it is absent, or a class of
            `monai.networks.nets`), the arguments of that class, and for one of MONAI's `convs`: `"plain"`, or
            `"crossd"` to build it from Cross-D convolutions (`crossd.crossd_convs`).
        training: False for evaluation mode.

    Raises:
        CrossDError: when there is no such network, it does not take these arguments, or does not fit into memory.

    >>> card = {"network": {"name": "SegResNet", "convs": "crossd", "in_channels": 1, "out_channels": 3}}
    >>> type(segmentation_network(card).convInit.conv).__name__
    'CrossDConv3d'
    """
    card = card_to_build(dict(card))
    arguments = dict(card["network"])
    name, convs = network_name(arguments.pop("name", OWN)), one_of("convs", arguments.pop("convs", "plain"), CONVS)
    kind = CrossDUNet if name == OWN else getattr(monai.networks.nets, name)

    def build() -> nn.Module:
        with crossd_convs() if convs == "crossd" and name != OWN else contextlib.nullcontext():
            return kind(**arguments)  # type: ignore[no-any-return]

    try:
        return with_its_weights(built(build, card)).train(training)
    except CrossDError:
        raise
    except Exception as error:  # whatever a layer fails of
        raise CrossDError(
            f"A network takes the arguments of its class, got {arguments} for {name} ({error}). Correct "
            "--network_options, as in --network UNet --network_options \"{'channels':[8,16,32],'strides':[2,2]}\"."
        ) from error


def network_name(name: str) -> str:
    """The class that is meant, whatever the case of its letters; `crossd` for `CrossDUNet`.

    >>> network_name("crossd"), network_name("segresnet"), network_name("unet")
    ('CrossDUNet', 'SegResNet', 'UNet')
    """
    kinds = [kind for kind in vars(monai.networks.nets).values() if isinstance(kind, type)]
    known = {kind.__name__.lower(): kind.__name__ for kind in kinds if issubclass(kind, nn.Module)}
    known |= {"crossd": OWN, OWN.lower(): OWN}
    if str(name).lower() in known:
        return known[str(name).lower()]
    near = [known[entry] for entry in difflib.get_close_matches(str(name).lower(), known, 3, 0.4)]
    remedy = f"Did you mean {' or '.join(near)}?" if near else "Example: --network SegResNet."
    raise CrossDError(f"A network is CrossDUNet or a class of monai.networks.nets, got {name!r}. {remedy}")


def network_arguments(
    base: Mapping[str, Any], name: str, convs: str, own: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The `network` of a new card but its channels.

    Args:
        base: what `segmentation_base` returns.
        name: of the class.
        convs: see `segmentation_network`; of no account for `CrossDUNet`.
        own: arguments of `CrossDUNet` that have an option of their own, such as depth and width.
        options: further arguments of the class, which come last.

    >>> network_arguments({"network": {"motion": "rotate"}}, "CrossDUNet", "plain", {"depth": 10}, {})
    {'name': 'CrossDUNet', 'motion': 'rotate', 'depth': 10}
    >>> network_arguments({"network": {"motion": "rotate"}}, "SegResNet", "crossd", {"depth": 10}, {"init_filters": 8})
    {'name': 'SegResNet', 'convs': 'crossd', 'init_filters': 8}
    """
    taken, name = base["network"], network_name(name)
    same = taken.get("name", OWN) == name
    known = {key: value for key, value in taken.items() if same and key not in ("name", "convs")}
    if name == OWN:
        return {"name": name, **known, **own, **options}
    return {"name": name, "convs": convs, **known, **options}


class SegmentationWeightsLoader(PretrainedCheckpointLoader):
    """`PretrainedCheckpointLoader` of a network that segments.

    A classifier's or a self-supervised encoder's weights go into the encoder of a `CrossDUNet`, those of the encoder of
    one of MONAI's networks into that; the decoder then starts from random weights. A segmentation model's go into the
    whole network; the heads of a `CrossDUNet` are taken over only when its card names the very same classes
    in the same order, the last layer of another network whenever there are as many.
    """

    def __init__(self, network: nn.Module, weights: str | None, card: Mapping[str, Any]) -> None:
        super().__init__(network, weights, card["class_names"], card=card)

    def load(self, content: Mapping[str, Any], card: Mapping[str, Any]) -> TransferReport:
        """Take over what fits of a checkpoint."""
        state, allowed = content["model"], []
        heads = getattr(self.network, "head_part", None)
        if heads and card.get("task") == "segmentation" and card.get("class_names") != self.class_names:
            state = {name: value for name, value in state.items() if not name.startswith(f"{heads}.")}
            allowed = [f"{heads}.*"]
            logger.info("the heads start from random weights: the classes are %s", self.class_names)
        if card.get("task") == SELF_SUPERVISED and card.get("encoder") in MONAI_ENCODERS:
            allowed = [name for name in self.network.state_dict() if name not in state]
        return load_pretrained(self.network, {**content, "model": state}, allow_missing=allowed)
