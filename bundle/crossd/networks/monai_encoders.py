"""MONAI's networks whose encoders are pre-trained: which class, and the arguments that `width` and others stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossd.errors import one_of

MONAI_ENCODERS = {"segresnet": "SegResNet", "unet": "UNet", "swinunetr": "SwinUNETR"}
"""Class of `monai.networks.nets` by the name that `--encoder` takes."""
_WIDTH = {"segresnet": ("init_filters", 8), "swinunetr": ("feature_size", 24)}  # argument that width is, and default


def encoder_arguments(encoder: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the whole network, but dimensions and channels in and out.

    Args:
        encoder: of `MONAI_ENCODERS`.
        options: of the pre-training: `width`, channels of the finest level, and any argument of the class. UNets have
            five levels, each twice as wide as the one above, strides of 2 and batch norms unless these say otherwise.

    >>> encoder_arguments("segresnet", {"width": 4, "blocks_down": [1, 1]})
    {'init_filters': 4, 'blocks_down': [1, 1]}
    >>> encoder_arguments("unet", {"width": 4, "norm": "instance"})
    {'channels': [4, 8, 16, 32, 64], 'norm': 'instance', 'strides': [2, 2, 2, 2]}
    """
    one_of("encoder", encoder, MONAI_ENCODERS)
    given = {name: value for name, value in options.items() if name != "width"}
    if encoder == "unet":
        channels = [options.get("width", 16) * 2**level for level in range(5)]
        arguments: dict[str, Any] = {"channels": channels, "norm": "batch", **given}
        arguments.setdefault("strides", [2] * (len(arguments["channels"]) - 1))
        return arguments
    name, default = _WIDTH[encoder]
    return {name: options.get("width", default), **given}
