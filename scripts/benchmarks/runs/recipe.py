"""What the methods of a table share: the size of the network, the steps, the learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from crossd.errors import CrossDError

R = TypeVar("R", bound="BaseRecipe")


@dataclass(frozen=True)
class BaseRecipe:
    """What recipes of every kind of benchmark hold: AdamW, warm-up and cosine, a fixed number of steps.

    Attributes:
        depth, width, conv1_t_size, conv1_t_stride, no_max_pool: of the ResNet, as in `CrossDResNet`.
        batch_size: cases per step.
        steps: optimiser steps, by fraction of labels; the same for every method.
        checks: how often in a run the validation cases are looked at; the best of them is tested.
        learning_rate, weight_decay: of AdamW.
        warmup: part of the steps in which the learning rate rises.
    """

    depth: int = 18
    width: int = 16
    conv1_t_size: int = 3
    conv1_t_stride: int = 2
    no_max_pool: bool = True
    batch_size: int = 16
    steps: Mapping[float, int] = field(default_factory=lambda: {0.1: 120, 1.0: 240})
    checks: int = 4
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.1

    def network_options(self) -> dict[str, Any]:
        """The arguments of the ResNet but dimensions, channels and classes."""
        names = ("depth", "width", "conv1_t_size", "conv1_t_stride", "no_max_pool")
        return {name: getattr(self, name) for name in names}

    def steps_at(self, fraction: float) -> int:
        """Steps of a run with this fraction of the labels.

        >>> BaseRecipe(steps={0.1: 50}).steps_at(0.1)
        50

        Raises:
            CrossDError: for a fraction the recipe says nothing of.
        """
        if fraction not in self.steps:
            raise CrossDError(
                f"A recipe gives the steps for each label fraction, {sorted(self.steps)}; got {fraction}. Take one of "
                "them."
            )
        return self.steps[fraction]

    def changed(self: R, **changes: Any) -> R:
        """The recipe with other values; None keeps one.

        >>> BaseRecipe().changed(width=8, depth=None).width
        8
        """
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def as_json(self) -> dict[str, Any]:
        """Plain values, with which `results` of other recipes are told apart."""
        values = asdict(self)
        steps = {str(fraction): count for fraction, count in self.steps.items()}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in {**values, "steps": steps}.items()}
