"""The scope of a trained model, measured on its training and validation cases when training has ended."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import nn
from tqdm import tqdm

from crossd.callers import in_federated_round
from crossd.cards.scope import Scope
from crossd.cards.scope_entry import entry_of_scope
from crossd.checkpoints import read_checkpoint, save_checkpoint
from crossd.checkpoints.checkpoint_files import unwrap
from crossd.errors import CrossDError
from crossd.inference import Accelerated, CaseDataset, WindowInferer
from crossd.inference.case_scope import case_figures
from crossd.processes import rank, wait_for_all

MOST = 2000  # cases of each kind, evenly spread
MANY = 100  # cases, from which it pays to prepare TorchScript
FEW = 50  # validation cases, below which it is said how many like them will be outside

logger = logging.getLogger(__name__)


def measured_scope(
    card: Mapping[str, Any],
    network: nn.Module,
    cases: Mapping[str, Sequence[Mapping[str, Any]]],
    preprocessing: Callable[[dict[str, Any]], Mapping[str, Any]],
    inferer: WindowInferer,
    progress: bool = False,
) -> Scope:
    """The scope of a model: what its training cases look like, with limits that its validation cases set.

    Args:
        card: the model's.
        network: trained; a copy of it is run.
        cases: items by split, of which `MOST` of "train" and of "val" are read once more.
        preprocessing: what the model is shown, without random changes.
        inferer: places the windows.
        progress: show how far it is.

    Raises:
        CrossDError: for too few cases, see `Scope.fit`.
    """
    device = next(network.parameters()).device
    backend = "auto" if len(cases["train"]) + len(cases["val"]) >= MANY else "eager"
    runner = Accelerated(network.eval(), backend).to(device)
    found: dict[str, list[dict[str, Any]]] = {}
    for split in ("train", "val"):
        every = cases[split]
        chosen = np.unique(np.linspace(0, len(every) - 1, min(MOST, len(every))).round().astype(int))
        dataset = CaseDataset([every[index] for index in chosen], preprocessing)
        found[split] = []
        for case in tqdm(dataset, desc=f"scope, {split}", disable=not progress):
            if case.image is not None:
                with torch.no_grad():
                    features = inferer.windows(case.image[None].to(device), runner).features
                found[split].append(case_figures(case.image, card["input"], features))
    return Scope.fit(found["train"], found["val"])


class ScopeWriter:
    """Handler that adds the scope to the card of `model.pt` when training has ended.

    It has no part in training: a run that is killed meanwhile adds it when the command is given again. Attach it before
    `TrainingProgress`, which has the last word in the log. In a round of federated learning there is no scope, for the
    server's model is another one.

    Args:
        output_dir: of the run.
        network: that of `model.pt`; it is not changed.
        cases, preprocessing, inferer: see `measured_scope`.
    """

    def __init__(
        self,
        output_dir: str,
        network: nn.Module,
        cases: Mapping[str, Sequence[Mapping[str, Any]]],
        preprocessing: Callable[[dict[str, Any]], Mapping[str, Any]],
        inferer: WindowInferer,
    ) -> None:
        self.path = Path(output_dir) / "model.pt"
        self.network = network
        self.cases = cases
        self.preprocessing = preprocessing
        self.inferer = inferer

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; MONAI calls this."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if rank() == 0 and self.path.is_file() and not in_federated_round():
            self.write()
        wait_for_all()

    def write(self) -> None:
        """Add it, unless it is there; where that is not possible the model stays as it is, and the log says so."""
        content = read_checkpoint(self.path)
        card = content.pop("card")
        if card.get("scope") is not None:
            return
        network = copy.deepcopy(unwrap(self.network))
        network.load_state_dict(content["model"])
        try:
            scope = measured_scope(card, network, self.cases, self.preprocessing, self.inferer, progress=True)
        except CrossDError as error:
            logger.warning(
                "%s has no scope, so inference cannot tell cases that are unlike these: %s", self.path, error
            )
            return
        state = content.pop("model")
        save_checkpoint(self.path, state, {**card, "scope": entry_of_scope(scope)}, **content)
        if scope.cases[1] < FEW:
            logger.warning(
                "the limit of the scope comes from %d validation cases: about 1 in %d cases like them will be outside",
                scope.cases[1],
                scope.cases[1] + 1,
            )
