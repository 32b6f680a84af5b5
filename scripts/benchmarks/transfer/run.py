"""From a block and a method to a stored result, in this process or in several."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crossd.errors import CrossDError

from scripts.benchmarks.runs.checkpoints import card_of, checkpoint_of, made_from, normalisation
from scripts.benchmarks.runs.grid import FOLDS, PAPER, Block
from scripts.benchmarks.transfer.building import build_network
from scripts.benchmarks.transfer.hybrid import ImageSide, read_images
from scripts.benchmarks.transfer.methods import METHODS
from scripts.benchmarks.transfer.recipe import Recipe
from scripts.benchmarks.transfer.store import Results
from scripts.benchmarks.transfer.tasks import labelled_subset, paper_fold, read_task
from scripts.benchmarks.transfer.tested import as_tested
from scripts.benchmarks.transfer.training import train_and_predict

PAPER_EPOCHS, PAPER_BATCH, PAPER_LEARNING_RATE = 15, 8, 1e-3


@dataclass(frozen=True)
class Inputs:
    """What runs are made of.

    Attributes:
        recipe: shared by all.
        sets: data by name.
        pretrained: checkpoints by name.
        device: `"cpu"` or `"cuda"`.
        images: 2D sources, for hybrid methods.
    """

    recipe: Recipe
    sets: Mapping[str, Path]
    pretrained: Mapping[str, Path] = field(default_factory=dict)
    device: str = "cpu"
    images: tuple[Path, ...] = ()


def perform(block: Block, method: str, inputs: Inputs, results: Results) -> dict[str, Any]:
    """Do one run and store it; a run that is stored already is not repeated.

    Returns:
        The run without its test cases.

    Raises:
        CrossDError: for data or a checkpoint that is missing or does not fit.
    """
    if (block, method) in results:
        return results.read(block, method)
    cell, recipe, entry = block.cell, inputs.recipe, METHODS[method]
    task = read_task(cell.set, inputs.sets[cell.set], recipe.image_size)
    if task.spatial_dims != entry.spatial_dims:
        raise CrossDError(
            f"A method fits the data's axes; {method!r} is {entry.spatial_dims}D and {cell.set} {task.spatial_dims}D. "
            "Name other --methods or --sets."
        )
    if cell.protocol == PAPER:
        parts = paper_fold(task, 1 + block.seed // FOLDS, block.seed % FOLDS)
        recipe = recipe.changed(batch_size=PAPER_BATCH, checks=PAPER_EPOCHS, learning_rate=PAPER_LEARNING_RATE)
        steps = PAPER_EPOCHS * -(-len(parts["train"].labels) // PAPER_BATCH)
    else:
        train = labelled_subset(task.parts["train"], cell.fraction, block.seed)
        parts = {**task.parts, "train": train}
        steps = recipe.steps_at(cell.fraction)
    checkpoint = checkpoint_of(entry, inputs.pretrained)
    if checkpoint is not None and inputs.sets[cell.set].name in str(card_of(checkpoint).get("data")).split(", "):
        raise CrossDError(
            f"A set is tested with networks that were pre-trained on others; {checkpoint} was pre-trained on "
            f"{card_of(checkpoint)['data']}, {cell.set} among them. Name a folder without it by --pretrained."
        )
    network = build_network(entry, checkpoint, recipe.network_options(), task.classes, block.seed)
    mean_std = normalisation(inputs.pretrained, entry.pretraining)
    if entry.prepare is not None:
        entry.prepare(network, checkpoint, (parts["train"].images - mean_std[0]) / mean_std[1])
    beside = None
    if entry.hybrid is not None:
        images = read_images(inputs.images, recipe.image_size, entry.hybrid.images_per_class)
        arguments = {"in_channels": 1, **recipe.network_options(), **entry.network}
        beside = ImageSide(entry.hybrid, images, arguments, checkpoint, block.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's schedulers and MONAI's metrics remark on every run
        made = train_and_predict(
            network,
            parts,
            task.classes,
            cell.protocol,
            steps,
            recipe,
            task.flip_axes,
            mean_std,
            block.seed,
            inputs.device,
            beside,
        )
    result = {
        "format": 2,
        "cases": {split: len(part.labels) for split, part in parts.items()},
        "steps": steps,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        **made_from(checkpoint, mean_std, inputs.device),
        "val": made["val"],
        "seconds": made["seconds"],
    }
    if beside is not None:
        result["hybrid"] = {**beside.as_json(), "sources": [path.name for path in inputs.images]}
    results.write(block, method, result, as_tested(parts["test"].labels, made["logits"], parts["test"].patients))
    return results.read(block, method)
