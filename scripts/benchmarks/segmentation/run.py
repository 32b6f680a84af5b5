"""From a block and a method to a stored result."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.benchmarks.runs.checkpoints import checkpoint_of, made_from, normalisation
from scripts.benchmarks.runs.grid import Block
from scripts.benchmarks.segmentation.methods import METHODS, build_network, parameters_used
from scripts.benchmarks.segmentation.recipe import Recipe
from scripts.benchmarks.segmentation.store import Results
from scripts.benchmarks.segmentation.tasks import CLASSES, labelled_share, read_hippocampus
from scripts.benchmarks.segmentation.training import train_and_segment


@dataclass(frozen=True)
class Inputs:
    """What runs are made of.

    Attributes:
        recipe: shared by all.
        folder: of Task04, with `images` and `labels`.
        pretrained: checkpoints by name.
        device: `"cpu"` or `"cuda"`.
        same_rate: whether every method takes the recipe's learning rate, as when a rate is chosen.
    """

    recipe: Recipe
    folder: Path
    pretrained: Mapping[str, Path] = field(default_factory=dict)
    device: str = "cpu"
    same_rate: bool = False


def perform(block: Block, method: str, inputs: Inputs, results: Results) -> dict[str, Any]:
    """Do one run and store it; a run that is stored already is not repeated.

    Returns:
        The run without its test cases.

    Raises:
        CrossDError: for data or a checkpoint that is missing or does not fit.
    """
    if (block, method) in results:
        return results.read(block, method)
    recipe, entry, fraction = inputs.recipe, METHODS[method], block.cell.fraction
    if not inputs.same_rate:
        recipe = recipe.changed(learning_rate=entry.learning_rate)
    parts = read_hippocampus(inputs.folder, recipe.size)
    parts = {**parts, "train": labelled_share(parts["train"], fraction, block.seed)}
    steps = recipe.steps_at(fraction)
    checkpoint = checkpoint_of(entry, inputs.pretrained)
    network = build_network(entry, checkpoint, recipe, len(CLASSES), block.seed)
    mean_std = normalisation(inputs.pretrained, entry.pretraining)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's schedulers and MONAI's metrics remark on every run
        made = train_and_segment(network, parts, steps, recipe, mean_std, block.seed, inputs.device)
    result = {
        "format": 1,
        "cases": {split: len(part.names) for split, part in parts.items()},
        "steps": steps,
        "learning_rate": recipe.learning_rate,
        "parameters": parameters_used(network),
        **made_from(checkpoint, mean_std, inputs.device),
        "val": made["val"],
        "seconds": made["seconds"],
    }
    results.write(block, method, result, parts["test"].names, made["rows"])
    return results.read(block, method)
