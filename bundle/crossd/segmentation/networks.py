"""Which network segments: `CrossDUNet`, or any of MONAI's."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import monai.networks.nets
from torch import nn

from crossd.cards.from_weights import base_card, is_none, trained_card
from crossd.cards.rules import SELF_SUPERVISED
from crossd.checkpoints import read_checkpoint
from crossd.conv import crossd_convs
from crossd.errors import CrossDError, one_of
from crossd.networks import CrossDUNet
from crossd.networks.monai_encoders import MONAI_ENCODERS, encoder_arguments

OWN = "CrossDUNet"
CONVS = ("plain", "crossd")
CHANNELS = ("spatial_dims", "in_channels", "out_channels", "num_classes")


def segmentation_network(card: Mapping[str, Any]) -> nn.Module:
    """Build the network of a segmentation card, with random weights.

    Args:
        card: its `network` holds `name` (`"CrossDUNet"`, which is meant where it is absent, or a class of
            `monai.networks.nets`), the arguments of that class, and for one of MONAI's `convs`: `"plain"`, or
            `"crossd"` to build it from Cross-D convolutions (`crossd.crossd_convs`).

    Raises:
        CrossDError: when there is no such network, or it does not take these arguments.

    >>> card = {"network": {"name": "SegResNet", "convs": "crossd", "in_channels": 1, "out_channels": 3}}
    >>> type(segmentation_network(card).convInit.conv).__name__
    'CrossDConv3d'
    """
    arguments = dict(card["network"])
    name, convs = network_name(arguments.pop("name", OWN)), one_of("convs", arguments.pop("convs", "plain"), CONVS)
    try:
        if name == OWN:
            return CrossDUNet(**arguments)
        kind = getattr(monai.networks.nets, name)
        if convs == "plain":
            return kind(**arguments)
        with crossd_convs():
            return kind(**arguments)
    except CrossDError:
        raise
    except (TypeError, ValueError) as error:
        raise CrossDError(
            f"A network takes the arguments of its class, got {arguments} for {name} ({error}). Correct "
            "--network_options, as in --network UNet --network_options \"{'channels':[8,16,32],'strides':[2,2]}\"."
        ) from error


def network_name(name: str) -> str:
    """The class that is meant, whatever the case of its letters; `crossd` for `CrossDUNet`.

    Raises:
        CrossDError: when there is none of that name.

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


def segmentation_base(weights: str | None, bundle_root: str) -> dict[str, Any]:
    """What is known of the input and the network from the weights that training starts from.

    Args:
        weights: a segmentation model of ours, any checkpoint that `crossd.training.base_card` knows (a classifier, a
            self-supervised encoder), the self-supervised encoder of a network of MONAI, or `"none"`.
        bundle_root: of the running bundle.

    Returns:
        `{"class_names", "label_values", "network", "input"}`; the classes are None unless the weights segment.

    Raises:
        CrossDError: when the file is missing or is no checkpoint.
    """
    pretrained = monai_encoder(weights)
    if pretrained is not None:
        return {"class_names": None, "label_values": None, **pretrained}
    card = base_card(weights, bundle_root)
    segments = card.get("task") == "segmentation"
    left_out = CHANNELS if segments else (*CHANNELS, "name", "convs", "conv")
    return {
        "class_names": card["class_names"] if segments else None,
        "label_values": card["label_values"] if segments else None,
        "network": {key: value for key, value in card["network"].items() if key not in left_out},
        "input": card["input"],
    }


def monai_encoder(weights: str | None) -> dict[str, Any] | None:
    """What is known from a self-supervised encoder of one of MONAI's networks; None for any other weights.

    Returns:
        `{"network", "input"}`, the network with its name, kind of convolutions and arguments but channels.
    """
    card = {} if is_none(weights) or not Path(str(weights)).is_file() else read_checkpoint(str(weights)).get("card")
    if not card or card.get("task") != SELF_SUPERVISED or card.get("encoder") not in MONAI_ENCODERS:
        return None
    options = {key: value for key, value in card["network"].items() if key not in (*CHANNELS, "conv")}
    network = {"name": MONAI_ENCODERS[card["encoder"]], "convs": card["network"].get("conv", "plain")}
    return {"network": {**network, **encoder_arguments(card["encoder"], options)}, "input": card["input"]}


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


def trained_segmentation(weights: str | None) -> dict[str, Any]:
    """The card of a trained segmentation model.

    Raises:
        CrossDError: when there is no such file, it has no card, or it does not segment.
    """
    card = trained_card(weights)
    if card["task"] != "segmentation":
        raise CrossDError(
            f"A mask needs a model that segments; {weights} is one for {card['task']}. Pass --weights of "
            "a run of configs/train_segmentation.json, or use configs/inference.json."
        )
    return card
