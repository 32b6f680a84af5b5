"""Whose checkpoint is this? Recognise the layouts of others and bring their names to ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from crossd.errors import CrossDError

# RadImageNet's ResNets are `Sequential(*children)` under `backbone`: numbers instead of torchvision's names
HEAD = "fc"  # the classification layer of ResNets, everywhere
RADIMAGENET = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


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

    def renamed(self, new: Callable[[str], str]) -> Source:
        """The same with other names."""
        return Source(
            self.layout,
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


def into_part(source: Source, part: str) -> Source | None:
    """A classifier's entries under the names that they have in a part of a network; its own last layer stays outside.

    Args:
        source: names such as `conv1.weight`, or already `encoder.conv1.weight` and nothing else.
        part: such as `"encoder"`.

    Returns:
        None where the checkpoint is of the whole network: where some entries lie in the part and others do not.

    >>> import torch
    >>> list(into_part(recognise({"conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}), "encoder").state)
    ['encoder.conv1.weight', 'fc.bias']
    """
    inside = [name.startswith(f"{part}.") for name in source.state]
    if all(inside):
        return source
    if any(inside):
        return None
    return source.renamed(lambda name: name if name.startswith(f"{HEAD}.") else f"{part}.{name}")


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
