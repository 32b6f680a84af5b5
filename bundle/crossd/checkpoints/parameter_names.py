"""Whose checkpoint is this? Recognise the layouts of others and bring their names to ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from crossd.errors import CrossDError

# RadImageNet's ResNets are `Sequential(*children)` under `backbone`: numbers instead of torchvision's names
HEADS = ("fc.", "conv_head.", "bn2.")  # what a classifier has after its last stage: of ResNets, of EfficientNets
RADIMAGENET = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
# EfficientNet-PyTorch's names and ours, which are timm's; in a block by what its first convolution is
EFFICIENTNET = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "fc"}
MBCONV = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
MBCONV |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


@dataclass(frozen=True)
class Source:
    """A state dict under our names.

    Args:
        layout: what it was recognised as, for the report.
        state: name → tensor.
        given: name → the name in the file.
        stored: prefixes (`"layer1.0.conv1."`) of layers whose weight is a Cross-D `U` and not a plain kernel.
    """

    layout: str
    state: dict[str, Tensor]
    given: dict[str, str]
    stored: frozenset[str]

    def renamed(self, new: Callable[[str], str], layout: str | None = None) -> Source:
        """The same with other names, and perhaps as another layout."""
        return Source(
            layout or self.layout,
            {new(name): value for name, value in self.state.items()},
            {new(name): given for name, given in self.given.items()},
            frozenset(map(new, self.stored)),
        )


def recognise(state: Mapping[str, Tensor]) -> Source:
    """Recognise a state dict and rename its entries.

    Known: official Cross-D checkpoints (`weights_3d` → `weight`, `rotation_params` → `predictor`, at any depth), our
    own, RadImageNet's `backbone.N.` ResNets (→ torchvision's names), torchvision 2D ResNets, MONAI and MedicalNet 3D
    ResNets; and, by their own names, all others. The prefixes that `torch.compile` and `DataParallel` add are removed.

    >>> import torch
    >>> source = recognise({"module.conv.weights_3d": torch.zeros(4, 2, 3, 3, 3)})
    >>> source.layout, list(source.state), source.stored
    ('official Cross-D', ['conv.weight'], frozenset({'conv.'}))
    """
    names = {name: re.sub(r"(^|\.)_orig_mod\.", r"\1", name) for name in state}
    while all(name.startswith("module.") for name in names.values()):
        names = {given: name.removeprefix("module.") for given, name in names.items()}

    official = any(_last(name) == "weights_3d" for name in names.values())
    radimagenet = {"backbone.0.weight", "backbone.1.weight", "backbone.4.0.conv1.weight"} <= set(names.values())
    if official:
        names = {given: _official_name(name) for given, name in names.items()}
    elif radimagenet:
        names = {given: _radimagenet_name(name) for given, name in names.items()}
    renamed = {name: state[given] for given, name in names.items()}
    if len(renamed) != len(names):
        twice = next(name for name in renamed if list(names.values()).count(name) > 1)
        both = ", ".join(given for given, name in names.items() if name == twice)
        raise CrossDError(f"Each entry of a checkpoint has a name of its own; {both} both mean {twice}. Remove one.")

    stored = {name.removesuffix("weight") for given, name in names.items() if _last(given) == "weights_3d"}
    for mark in ("running_motion", "predictor.0.weight"):
        stored |= {name.removesuffix(mark) for name in renamed if name == mark or name.endswith(f".{mark}")}
    if official:
        layout = "official Cross-D"
    elif stored:
        layout = "crossd"
    else:
        layout = "RadImageNet 2D ResNet" if radimagenet else _plain_layout(renamed)
    return Source(layout, renamed, {name: given for given, name in names.items()}, frozenset(stored))


def without_wrapper(source: Source, wanted: Callable[[str], bool]) -> Source:
    """Drop a first name part that all entries share (`model.`, `encoder.` …) when no entry is wanted with it."""
    parts = {name.partition(".")[0] for name in source.state}
    if len(parts) != 1 or any(map(wanted, source.state)) or any("." not in name for name in source.state):
        return source
    prefix = f"{parts.pop()}."
    return source.renamed(lambda name: name.removeprefix(prefix))


def efficientnet_names(source: Source, wanted: Callable[[str], bool]) -> Source:
    """An EfficientNet's entries under the names of `CrossDEfficientNetLite`, where their own are not wanted.

    Known: EfficientNet-PyTorch (`_blocks.3._depthwise_conv`, blocks counted through) and timm (`blocks.1.2.conv_dw`,
    `classifier`).

    >>> import torch
    >>> names = ["_conv_stem.weight", "_blocks.0._depthwise_conv.weight", "_blocks.0._project_conv.weight", "_fc.bias"]
    >>> source = efficientnet_names(recognise({name: torch.zeros(8) for name in names}), lambda name: False)
    >>> source.layout, list(source.state)
    ('EfficientNet-PyTorch', ['conv_stem.weight', 'blocks.0.0.conv_dw.weight', 'blocks.0.0.conv_pw.weight', 'fc.bias'])
    """
    if {"conv_stem.weight", "blocks.0.0.conv_dw.weight"} <= set(source.state):
        layout = source.layout if source.stored else "timm EfficientNet"
        return source.renamed(lambda name: name if wanted(name) else re.sub("^classifier[.]", "fc.", name), layout)
    if "_blocks.0._depthwise_conv.weight" not in source.state or any(map(wanted, source.state)):
        return source
    places: dict[str, str] = {}  # of blocks: a stage ends where the number of channels changes
    stage, number, channels, block = -1, 0, -1, 0
    while (last := source.state.get(f"_blocks.{block}._project_conv.weight")) is not None:
        stage, number = (stage, number + 1) if len(last) == channels else (stage + 1, 0)
        places[str(block)], channels, block = f"blocks.{stage}.{number}", len(last), block + 1

    def new(name: str) -> str:
        first, *rest = name.split(".")
        if first != "_blocks" or rest[0] not in places:
            return ".".join([EFFICIENTNET.get(first, first), *rest])
        number, part, *rest = rest
        names = MBCONV if f"_blocks.{number}._expand_conv.weight" in source.state else SEPARABLE
        return ".".join([places[number], names.get(part, part), *rest])

    return source.renamed(new, "EfficientNet-PyTorch")


def into_part(source: Source, part: str, wanted: Callable[[str], bool]) -> Source | None:
    """A classifier's entries under the names that they have in a part of a network; its own last layers stay outside.

    Args:
        source: names such as `conv1.weight`, or already `encoder.conv1.weight` and nothing else.
        part: such as `"encoder"`.
        wanted: whether the network has an entry; a last layer that the part has too goes inside.

    Returns:
        None where the checkpoint is of the whole network: where some entries lie in the part and others do not.

    >>> import torch
    >>> source = recognise({"conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)})
    >>> list(into_part(source, "encoder", ["encoder.conv1.weight"].__contains__).state)
    ['encoder.conv1.weight', 'fc.bias']
    """
    inside = [name.startswith(f"{part}.") for name in source.state]
    if all(inside):
        return source
    if any(inside):
        return None
    return source.renamed(
        lambda name: name if name.startswith(HEADS) and not wanted(f"{part}.{name}") else f"{part}.{name}"
    )


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _official_name(name: str) -> str:
    parts = ["predictor" if part == "rotation_params" else part for part in name.split(".")]
    return ".".join("weight" if part == "weights_3d" else part for part in parts)


def _radimagenet_name(name: str) -> str:
    backbone, _, rest = name.partition(".")
    number, _, rest = rest.partition(".")
    return f"{RADIMAGENET[number]}.{rest}" if backbone == "backbone" and number in RADIMAGENET else name


def _plain_layout(state: dict[str, Tensor]) -> str:
    axes = next((value.dim() - 2 for value in state.values() if value.dim() in (4, 5)), 0)
    resnet = {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight"} <= set(state)
    return {
        (2, True): "torchvision 2D ResNet",
        (3, True): "MONAI/MedicalNet 3D ResNet",
        (2, False): "plain 2D",
        (3, False): "plain 3D",
    }.get((axes, resnet), "plain")
