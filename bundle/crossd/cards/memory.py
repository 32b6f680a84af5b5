"""Whether the network and the window of a card fit into this machine's memory, before any of it is taken."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crossd.errors import CrossDError

USUAL = 64  # a network none of whose numbers is larger takes a few GB at most
_FLOAT = 4  # bytes


def machine_memory() -> float:
    """Bytes that this machine has, or that a container is allowed; infinity where nobody says.

    >>> 2**28 < machine_memory()
    True
    """
    found = [math.inf]
    try:
        found.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
        found.append(float(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (AttributeError, OSError, ValueError):  # no POSIX, no container, or "max"
        pass
    return min(found)


def built(build: Callable[[], nn.Module], card: Mapping[str, Any]) -> nn.Module:
    """The network that `build` makes, once it is known that its weights and its window fit into memory.

    Where the card's numbers are out of the usual, the network is made on PyTorch's `meta` device first, which knows
    sizes and holds nothing. A window takes its own numbers and, in a ResNet, those that the first layer makes of it.

    Args:
        build: makes the network, with random weights.
        card: its `network` holds the numbers that decide the size; `input`, where it has one, the window.

    Raises:
        CrossDError: naming what is too large.

    >>> built(lambda: nn.Linear(10**7, 10**7), {"network": {"width": 10**7}})
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: A card's network and window must fit into memory; its weights take 400000 GB, ...
    """
    memory = machine_memory()
    if max(_numbers(card["network"]), default=0) > USUAL:
        said = f"network is {dict(card['network'])}"
        weights: list[Tensor] = []
        try:
            with torch.device("meta"):
                weights = list(build().state_dict().values())
        except Exception as error:  # some networks compute with values while they are made, which meta has not
            if "overflow" in str(error).lower():
                _check("its weights take more than", 2.0**63, memory, said)
        _check("its weights take", sum(one.numel() * one.element_size() for one in weights), memory, said)
    seen = card.get("input") or {}
    window = (1, len(seen.get("channels", [0])), *(seen.get("roi_size") or [1]))
    stem = int(card["network"].get("width") or 0)  # of a ResNet: what its first layer makes of the window
    stride = int(card["network"].get("conv1_t_stride") or 2)
    numbers = math.prod(window) + stem * math.prod(-(-size // stride) for size in window[2:])
    _check("its window takes", numbers * _FLOAT, memory, f"roi_size is {list(window[2:])}")
    return build()


def _check(what: str, size: float, memory: float, said: str) -> None:
    if size > memory:
        raise CrossDError(
            f"A card's network and window must fit into memory; {what} {size / 1e9:.0f} GB, this machine has "
            f"{memory / 1e9:.0f} GB: {said}. Correct the card, or use a machine with more."
        )


def _numbers(values: Any) -> list[int]:
    """The whole numbers in a dictionary or list, at any depth."""
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, list | tuple):
        return [number for value in values for number in _numbers(value)]
    return [values] if isinstance(values, int) else []
