"""From a block and a method to a stored result, in this process or in several."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from crossd.benchmark.transfer.building import build_network, checkpoint_of
from crossd.benchmark.transfer.grid import FOLDS, PAPER, Block
from crossd.benchmark.transfer.hybrid import ImageSide, read_images
from crossd.benchmark.transfer.methods import METHODS
from crossd.benchmark.transfer.recipe import Recipe
from crossd.benchmark.transfer.store import Results
from crossd.benchmark.transfer.tasks import labelled_subset, paper_fold, read_task
from crossd.benchmark.transfer.tested import as_tested
from crossd.benchmark.transfer.training import train_and_predict
from crossd.checkpoints import read_checkpoint
from crossd.errors import CrossDError
from crossd.version import __version__

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


def find_pretrained(folder: str | os.PathLike[str], medicalnet: str | None = None) -> dict[str, Path]:
    """The checkpoints `<name>.pt` and `<name>/model.pt` in a folder, and MedicalNet's file where one is given."""
    found = {path.parent.name: path for path in sorted(Path(folder).glob("*/model.pt"))}
    found |= {path.stem: path for path in sorted(Path(folder).glob("*.pt"))}
    return found if medicalnet is None else {**found, "medicalnet": Path(medicalnet)}


def normalisation(pretrained: Mapping[str, Path], name: str | None) -> tuple[float, float]:
    """Mean and standard deviation that a network expects: those of its own pre-training.

    They are on the checkpoint's card, or known of its kind where it has none. Random weights and MedicalNet's expect
    nothing, so they take those of the first of the other checkpoints by name; without any, 0 and 1.
    """
    own = name in pretrained and name != "medicalnet"
    others = sorted(key for key in pretrained if key != "medicalnet")
    key = name if own else next(iter(others), None)
    seen = _card(pretrained[key])["input"] if key is not None else {}
    values = [seen.get("mean", 0.0), seen.get("std", 1.0)]
    mean, std = (float(value[0] if isinstance(value, list) else value) for value in values)
    return mean, std


@lru_cache(maxsize=32)
def _card(path: Path) -> dict[str, Any]:
    """Of a checkpoint; of one without, what is known of its kind."""
    from crossd.cards.from_weights import base_card

    card = read_checkpoint(path).get("card")
    return card or {**base_card(str(path), "", spatial_dims=2), "data": ""}


@lru_cache(maxsize=32)
def digest(path: Path) -> str:
    """Of a file's bytes; of a folder the names and sizes of its files.

    Raises:
        CrossDError: when there is none.
    """
    if not path.exists():
        raise CrossDError(f"What runs are made of must be there, got {path}. Pass --data, --sets or --pretrained.")
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    files = sorted((file.relative_to(path).as_posix(), file.stat().st_size) for file in path.rglob("*.nii*"))
    return hashlib.sha256(repr(files).encode()).hexdigest()[:16]


def digests(sets: Mapping[str, Path], checkpoints: Mapping[str, Path]) -> dict[str, str]:
    """By what `Results.made_of` tells other data and weights from those of the stored runs."""
    named = {f"set {name}": path for name, path in sets.items()}
    named |= {f"pre-training {name}": path for name, path in checkpoints.items()}
    return {name: digest(path) for name, path in named.items()}


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
    if checkpoint is not None and inputs.sets[cell.set].name in str(_card(checkpoint).get("data")).split(", "):
        raise CrossDError(
            f"A set is tested with networks that were pre-trained on others; {checkpoint} was pre-trained on "
            f"{_card(checkpoint)['data']}, {cell.set} among them. Name a folder without it by --pretrained."
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
        "method": method,
        "set": cell.set,
        "protocol": cell.protocol,
        "fraction": cell.fraction,
        "seed": block.seed,
        "cases": {split: len(part.labels) for split, part in parts.items()},
        "steps": steps,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "pretraining": checkpoint and {"file": checkpoint.name, "sha256": digest(checkpoint)},
        "normalisation": mean_std,
        "versions": {"crossd": __version__, "torch": torch.__version__},
        "device": inputs.device,
        "val": made["val"],
        "seconds": made["seconds"],
    }
    if beside is not None:
        result["hybrid"] = {**beside.as_json(), "sources": [path.name for path in inputs.images]}
    results.write(block, method, result, as_tested(parts["test"].labels, made["logits"], parts["test"].patients))
    return results.read(block, method)
