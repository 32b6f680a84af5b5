"""What the tensors of a checkpoint without a card tell: the network, and how its kind was shown its input."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from crossd.checkpoints.parameter_names import efficientnet_names, recognise, without_wrapper
from crossd.checkpoints.registry import PRETRAINED
from crossd.networks import STAGES

RADIMAGENET = PRETRAINED["crossd-official-resnet18"].normalisation()
IMAGENET = PRETRAINED["torchvision-resnet18"].normalisation()
LITE = PRETRAINED["efficientnet-lite0"].normalisation()


def guessed(state: Mapping[str, Tensor]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The layout, the arguments of the network, and mean and std for intensities in [0, 1], as far as tensors say them.

    >>> import torch
    >>> guessed({"conv1.weight": torch.zeros(8, 3, 7, 7)})
    ('plain 2D', {}, {'mean': 0.449, 'std': 0.226})
    """
    source = without_wrapper(recognise(state), lambda name: name in ("conv1.weight", "conv_stem.weight"))
    source = efficientnet_names(source, lambda name: False)
    lite = lite_arguments(source.state)
    if source.layout in ("official Cross-D", "RadImageNet 2D ResNet"):
        normalisation = RADIMAGENET
    elif source.layout == "MONAI/MedicalNet 3D ResNet":
        normalisation = {}
    else:
        normalisation = LITE if lite else IMAGENET
    return source.layout, lite or resnet_arguments(source.state), normalisation


def lite_arguments(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Name and variant of an EfficientNet-Lite from its state dict, under our names; nothing when it is none of ours.

    >>> import torch
    >>> from crossd.networks import PlainEfficientNetLite
    >>> with torch.device("meta"):
    ...     lite_arguments(PlainEfficientNetLite(2, 3, 5, "lite1").state_dict())
    {'name': 'CrossDEfficientNetLite', 'variant': 'lite1'}
    """
    last = state.get("blocks.6.0.conv_pwl.weight")
    if last is None or "blocks.0.0.se.conv_reduce.weight" in state:  # EfficientNet-B
        return {}
    deep = "blocks.1.2.conv_pwl.weight" in state
    variant = {(False, 320): "lite0", (True, 320): "lite1", (True, 352): "lite2"}.get((deep, last.shape[0]))
    return {} if variant is None else {"name": "CrossDEfficientNetLite", "variant": variant}


def resnet_arguments(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Depth and width of a ResNet from its state dict, under torchvision's names; nothing when it is none of ours.

    >>> import torch
    >>> stages = {f"layer{stage}.0.conv1.weight": torch.zeros(1) for stage in (1, 2, 3, 4)}
    >>> resnet_arguments({"conv1.weight": torch.zeros(16, 3, 7, 7), **stages})
    {'depth': 10, 'width': 16}
    """
    blocks = [
        len({m[1] for name in state if (m := re.match(rf"layer{stage}\.(\d+)\.", name))}) for stage in (1, 2, 3, 4)
    ]
    kind = "bottleneck" if "layer1.0.conv3.weight" in state else "basic"
    depths = [depth for depth, stages in STAGES.items() if stages == (kind, blocks)]
    if not depths or "conv1.weight" not in state:
        return {}
    return {"depth": depths[0], "width": int(state["conv1.weight"].shape[0])}
