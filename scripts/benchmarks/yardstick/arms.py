"""The arms: what of a volume frozen weights are shown, and which of it a regression sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from crossd.cards.from_weights import base_card
from crossd.cli.main import main as crossd
from crossd.errors import CrossDError
from crossd.probe.choosing import Candidate, Labelled, each_and_all
from crossd.probe.features import FrozenFeatures
from crossd.probe.frozen import VIEWS, frozen_network
from crossd.probe.labelled import one_hot
from crossd.probe.trivial import KINDS

from scripts.benchmarks.yardstick.tasks import EPOCHS, Task

WEIGHTS = "efficientnet-lite0"
READING: dict[str, Any] = {"series": None, "tilt": "correct", "volume": None}
SIZE = 40
VOLUME: dict[str, Any] = {"views": ["volume"], "options": {"volume_size": SIZE}}
ARMS: dict[str, Sequence[Candidate]] = {
    "trivial": each_and_all(KINDS),
    "random": [Candidate(("random",))],
    "slices": [Candidate(("slices",))],
    "projections": [Candidate(("projections",))],
    "i3d-mean": [Candidate(("i3d-mean",))],
    "i3d-centre": [Candidate(("i3d-centre",))],
    "tomographic": [Candidate(("tomographic",))],
    "crossd-volume": [Candidate(("crossd-volume",))],
    "multiview": [Candidate(("slices", "projections", "crossd-volume"))],
}


@dataclass(frozen=True)
class Shown:
    """A frozen network and its views; `name`: of the volume view, which else has that of the view."""

    name: str | None
    arguments: Mapping[str, Any]


def shown_networks(task: Task, work: Path) -> list[Shown]:
    """Every network that a task needs; the one that learns from the pool is trained on the way."""
    stored = base_card(WEIGHTS, str(work))["network"]
    backbone = {
        name: value for name, value in stored.items() if name not in ("spatial_dims", "in_channels", "num_classes")
    }
    return [
        Shown(None, {"weights": WEIGHTS, "views": VIEWS}),
        Shown("i3d-mean", {"weights": WEIGHTS, **VOLUME}),
        Shown("i3d-centre", {"weights": WEIGHTS, "fill": "centre", **VOLUME}),
        Shown("tomographic", {"weights": WEIGHTS, "fill": "tomographic", **VOLUME}),
        Shown("random", {"weights": "none", **VOLUME, "options": {"volume_size": SIZE, "backbone": backbone}}),
        Shown("crossd-volume", {"weights": str(distilled(task, work)), **VOLUME}),
    ]


def distilled(task: Task, work: Path) -> Path:
    """The network that has learnt from the pool; a run that was ended goes on.

    Raises:
        CrossDError: where the run fails.
    """
    folder = task.folder / "distilled"
    command = ["pretrain", "--recipe", "distil", "--volumes", str(task.pool_table()), "--output_dir", str(folder)]
    command += ["--volume_size", str(SIZE), "--epochs", str(EPOCHS.get(task.name, 2)), "--device", "cpu"]
    command += ["--cache_dir", str(work / "features"), "--progress", "false", "--tensorboard", "false"]
    if task.shown:
        command += ["--intensity", repr(task.shown["intensity"])]
    if crossd(command):
        raise CrossDError(f"A distillation must end well; that in {folder} has not. Read its log.")
    return folder / "model.pt"


def features(task: Task, work: Path) -> dict[str, Labelled]:
    """Of the cases that "may" be labelled and of "test" what every network makes of them, by view or name."""
    found: dict[str, dict[str, np.ndarray]] = {"may": {}, "test": {}}
    for shown in shown_networks(task, work):
        torch.manual_seed(0)  # of the random network
        arguments = dict(shown.arguments)
        frozen = frozen_network(
            arguments.pop("weights"), str(work), task.cases["may"], task.shown, READING, **arguments
        )
        read = FrozenFeatures(frozen, READING, str(work / "features"))
        for part, sets in found.items():
            seen, failed = read.of(task.cases[part], f"{task.name}, {shown.name or 'views'}, {part}")
            assert not failed, failed
            known = [one for one in seen if one is not None]
            for view in frozen.network.views:
                sets[shown.name or view] = np.stack([one.views[view].double().numpy() for one in known])
            for kind in KINDS:
                sets[kind] = np.stack([one.trivial[kind].double().numpy() for one in known])
    return {
        part: Labelled(
            sets,
            np.asarray(one_hot([case["label"] for case in task.cases[part]], len(task.classes))),
            [str(case["patient"]) for case in task.cases[part]],
        )
        for part, sets in found.items()
    }
