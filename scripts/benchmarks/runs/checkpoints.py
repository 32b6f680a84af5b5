"""The pre-trained weights that runs start from: where they are, what they expect, and by what they are told apart."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from crossd.cards.from_weights import base_card
from crossd.checkpoints import read_checkpoint
from crossd.errors import CrossDError
from crossd.files import sha256
from crossd.version import __version__


class StartsFrom(Protocol):
    """What is asked of a method of any benchmark: what it is, and the name of its pre-training."""

    @property
    def about(self) -> str: ...

    @property
    def pretraining(self) -> str | None: ...


def checkpoint_of(method: StartsFrom, pretrained: Mapping[str, Path]) -> Path | None:
    """The file of the method's pre-trained weights; None for random ones.

    Raises:
        CrossDError: when there is none of that name.
    """
    if method.pretraining is None:
        return None
    path = pretrained.get(method.pretraining)
    if path is None or not path.is_file():
        raise CrossDError(
            f"{method.about} starts from the pre-training {method.pretraining!r}, which is not there; found are "
            f"{sorted(pretrained) or 'none'}. Pass --pretrained DIR with {method.pretraining}.pt, made as "
            "docs/results/tables.md says, or leave the method out."
        )
    return path


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
    seen = card_of(pretrained[key])["input"] if key is not None else {}
    values = [seen.get("mean", 0.0), seen.get("std", 1.0)]
    mean, std = (float(value[0] if isinstance(value, list) else value) for value in values)
    return mean, std


@lru_cache(maxsize=32)
def card_of(path: Path) -> dict[str, Any]:
    """Of a checkpoint; of one without, what is known of its kind."""

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
        return sha256(path)[:16]
    files = sorted((file.relative_to(path).as_posix(), file.stat().st_size) for file in path.rglob("*.nii*"))
    return hashlib.sha256(repr(files).encode()).hexdigest()[:16]


def digests(sets: Mapping[str, Path], checkpoints: Mapping[str, Path]) -> dict[str, str]:
    """By what `StoredRuns.made_of` tells other data and weights from those of the stored runs."""
    named = {f"set {name}": path for name, path in sets.items()}
    named |= {f"pre-training {name}": path for name, path in checkpoints.items()}
    return {name: digest(path) for name, path in named.items()}


def made_from(checkpoint: Path | None, mean_std: tuple[float, float], device: str) -> dict[str, Any]:
    """What a stored run says of what it was made of: weights, normalisation, versions, device."""
    return {
        "pretraining": checkpoint and {"file": checkpoint.name, "sha256": digest(checkpoint)},
        "normalisation": mean_std,
        "versions": {"crossd": __version__, "torch": torch.__version__},
        "device": device,
    }
