"""What a trained model sees in its training and validation cases, and the scope that is measured on that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from crossd.cards.scope import Scope
from crossd.inference import Accelerated, CaseDataset, WindowInferer
from crossd.inference.case_scope import case_figures
from crossd.inference.window_map import WindowEvidence

MOST = 2000  # cases of each kind, evenly spread
MANY = 100  # cases, from which it pays to prepare TorchScript


@dataclass(frozen=True)
class SeenCase:
    """A case as a model saw it: its item, its figures for the scope, and what each window said."""

    item: Mapping[str, Any]
    figures: Mapping[str, Any]
    evidence: WindowEvidence


def seen_cases(
    card: Mapping[str, Any],
    network: nn.Module,
    cases: Mapping[str, Sequence[Mapping[str, Any]]],
    preprocessing: Callable[[dict[str, Any]], Mapping[str, Any]],
    inferer: WindowInferer,
    progress: bool = False,
) -> dict[str, list[SeenCase]]:
    """What a model sees in its training and validation cases; those that cannot be read are left out.

    Args:
        card: the model's.
        network: trained; a copy of it is run.
        cases: items by split, of which `MOST` of "train" and of "val" are read once more.
        preprocessing: what the model is shown, without random changes.
        inferer: places the windows.
        progress: show how far it is.
    """
    device = next(network.parameters()).device
    backend = "auto" if len(cases["train"]) + len(cases["val"]) >= MANY else "eager"
    runner = Accelerated(network.eval(), backend).to(device)
    found: dict[str, list[SeenCase]] = {}
    for split in ("train", "val"):
        every = cases[split]
        chosen = np.unique(np.linspace(0, len(every) - 1, min(MOST, len(every))).round().astype(int))
        items = [every[index] for index in chosen]
        found[split] = []
        dataset = CaseDataset(items, preprocessing)
        for item, case in zip(items, tqdm(dataset, desc=f"scope, {split}", disable=not progress), strict=True):
            if case.image is not None:
                with torch.no_grad():
                    evidence = inferer.windows(case.image[None].to(device), runner)
                figures = case_figures(case.image, card["input"], evidence.features)
                found[split].append(SeenCase(item, figures, evidence))
    return found


def measured_scope(seen: Mapping[str, Sequence[SeenCase]]) -> Scope:
    """The scope of a model: what its training cases look like, with limits that its validation cases set.

    Args:
        seen: what `seen_cases` returned.

    Raises:
        CrossDError: for too few cases, see `Scope.fit`.
    """
    return Scope.fit(*([one.figures for one in seen[split]] for split in ("train", "val")))
