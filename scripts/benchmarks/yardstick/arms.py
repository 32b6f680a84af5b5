"""The arms: what of a volume frozen weights are shown, and which of it a regression sees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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

from scripts.benchmarks.yardstick.tasks import EPOCHS, LIVE_VOLUMES, Task

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
    "crossd-live": [Candidate(("crossd-live",))],
    "multiview": [Candidate(("slices", "projections", "crossd-volume"))],
    "multiview + trivial": [Candidate(("slices", "projections", "crossd-volume", *KINDS))],
}


@dataclass(frozen=True)
class Shown:
    """A frozen network and its views; `name`: of the volume view, which else has that of the view."""

    name: str | None
    arguments: Mapping[str, Any]


def shown_networks(task: Task, work: Path, arms: Iterable[str] = ARMS) -> list[Shown]:
    """Every network that these arms need on a task; those that learn from the pool are trained on the way."""
    needed = {name for arm in arms for candidate in ARMS[arm] for name in candidate.sets}
    stored = base_card(WEIGHTS, str(work))["network"]
    backbone = {
        name: value for name, value in stored.items() if name not in ("spatial_dims", "in_channels", "num_classes")
    }
    found = [
        Shown(None, {"weights": WEIGHTS, "views": VIEWS}),
        Shown("i3d-mean", {"weights": WEIGHTS, **VOLUME}),
        Shown("i3d-centre", {"weights": WEIGHTS, "fill": "centre", **VOLUME}),
        Shown("tomographic", {"weights": WEIGHTS, "fill": "tomographic", **VOLUME}),
        Shown("random", {"weights": "none", **VOLUME, "options": {"volume_size": SIZE, "backbone": backbone}}),
    ]
    for name, live in (("crossd-volume", False), ("crossd-live", True)):
        if name in needed:
            found.append(Shown(name, {"weights": str(distilled(task, work, live)), **VOLUME}))
    views = needed & {*VIEWS, *KINDS}  # the first network has them all
    return [one for one in found if (one.name in needed if one.name else views)]


def distilled(task: Task, work: Path, live: bool = False) -> Path:
    """The network that has learnt from the pool; a run that was ended goes on.

    Args:
        live: whether the pool's volumes are changed at random, and their teacher looks at each as it was changed.

    Raises:
        CrossDError: where the run fails.
    """
    folder = task.folder / ("distilled_live" if live else "distilled")
    files = sum(len(case["image"]) for case in task.cases["pool"])
    epochs = round(LIVE_VOLUMES / files) if live else EPOCHS.get(task.name, 2)
    command = ["pretrain", "--recipe", "distil", "--volumes", str(task.pool_table()), "--output_dir", str(folder)]
    command += ["--volume_size", str(SIZE), "--epochs", str(epochs), "--device", "cpu"]
    command += ["--cache_dir", str(work / "features"), "--progress", "false", "--tensorboard", "false"]
    if live:
        command += ["--live", "true", "--affine_prob", "1", "--flip_axes", "[0,1,2]", "--val_interval", str(epochs)]
    if task.shown:
        command += ["--intensity", repr(task.shown["intensity"])]
    if crossd(command):
        raise CrossDError(f"A distillation must end well; that in {folder} has not. Read its log.")
    return folder / "model.pt"


def features(task: Task, work: Path, arms: Iterable[str] = ARMS) -> dict[str, Labelled]:
    """Of the cases that "may" be labelled and of "test" what these arms' networks make, by view or name."""
    found: dict[str, dict[str, np.ndarray]] = {"may": {}, "test": {}}
    for shown in shown_networks(task, work, arms):
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
