"""Which network segments: `CrossDUNet`, or any of MONAI's."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import monai.networks.nets
from torch import nn

from crossd.conv import crossd_convs
from crossd.errors import CrossDError, one_of
from crossd.networks import CrossDUNet

OWN = "CrossDUNet"
CONVS = ("plain", "crossd")


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
