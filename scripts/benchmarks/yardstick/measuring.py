"""What each arm says of unused and of test cases, draw by draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from crossd.probe.choosing import Labelled, Recipe

from scripts.benchmarks.probe.measuring import drawn
from scripts.benchmarks.transfer.tested import Tested, to_json
from scripts.benchmarks.yardstick.arms import ARMS
from scripts.benchmarks.yardstick.tasks import Task

RECIPE = Recipe()


def measure(
    task: Task, known: Mapping[str, Labelled], labels: str, seed: int, arms: Iterable[str] = ARMS
) -> Iterator[dict[str, Any]]:
    """A line for each arm: what it says of the unused and of the test cases.

    Args:
        task: of which `known` is `arms.features`.
        labels: "few" or "all" of those that may be labelled.
        seed: of the draw.
        arms: names of `ARMS`.
    """
    may = known["may"]
    cases = drawn(may, task.fraction if labels == "few" else 1.0, seed)
    rest = np.setdiff1d(np.arange(len(may)), cases)
    parts = {"test": known["test"], **({"unused": may.take(rest)} if len(rest) else {})}
    for arm, fit in RECIPE.fit(may.take(cases), {arm: ARMS[arm] for arm in arms}).items():
        line = {"task": task.name, "labels": labels, "seed": seed, "arm": arm, "cases": len(cases)}
        line |= {"chosen": fit.choice.candidate.name, "C": fit.choice.strength}
        for name, part in parts.items():
            said = Tested(part.targets.argmax(1), fit.logits(part), tuple(part.patients))
            line[name] = to_json(said)
        yield line
