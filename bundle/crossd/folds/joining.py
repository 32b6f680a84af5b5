"""The models of the folds as one, whose probabilities, or values, are the mean of theirs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from crossd.cards.tasks import task_of
from crossd.checkpoints import read_checkpoint, save_checkpoint
from crossd.errors import CrossDError
from crossd.training.calibration import at_temperature

OF_ONE = ("calibration", "operating_point")  # entries of a card that are of one member's validation cases
logger = logging.getLogger(__name__)


def join_models(paths: Sequence[Path], path: Path, entries: Mapping[str, Any], temperature: float = 1.0) -> None:
    """Write the model whose members are trained ones, as a checkpoint with its card, whole or not at all.

    Its scope is the first member's, whose features it gives.

    Args:
        paths: the `model.pt` of runs that differ in their cases alone.
        path: of the new one.
        entries: of its card, in place of the first member's.
        temperature: by which each member's logits are divided.

    Raises:
        CrossDError: for models of other networks, classes or input than each other.
    """
    state: dict[str, Tensor] = {}
    cards = []
    for number, trained in enumerate(paths):
        content = read_checkpoint(trained)
        cards.append(content["card"])
        same = ("task", "class_names", "negative_class", "network", "input")
        other = [name for name in same if cards[-1][name] != cards[0][name]]
        if other:
            raise CrossDError(
                f"Members of an ensemble differ in their weights alone; {trained} differs from {paths[0]} in "
                f"{', '.join(other)}. Train them under the same settings."
            )
        own = at_temperature(content["model"], temperature)
        state |= {f"members.{number}.{name}": value for name, value in own.items()}
    first = cards[0]
    sizes = {name: first["network"][name] for name in ("spatial_dims", "in_channels", "num_classes")}
    member = {name: value for name, value in first["network"].items() if name not in sizes}
    network = {"name": "Ensemble", **sizes, "member": member, "count": len(paths)}
    task = task_of(first["task"])
    network["exclusive"] = task.exclusive if task.classifies else None
    of_all = {name: value for name, value in first.items() if name not in OF_ONE}
    save_checkpoint(path, state, {**of_all, "network": network, **entries})
    logger.info("the model of all %d is %s (%.1f MB)", len(paths), path, path.stat().st_size / 1e6)
