"""The stored runs of classifiers: the test side is shut until a variant is fixed by validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from crossd.errors import CrossDError

from scripts.benchmarks.runs.grid import PAPER, Block, Cell
from scripts.benchmarks.runs.store import DIGITS, StoredRuns
from scripts.benchmarks.transfer.tested import Tested, from_json, to_json


@dataclass(frozen=True)
class Recommendation:
    """The variant that was fixed by validation: what opens the test side.

    Attributes:
        method: its name.
        validation: mean validation AUC of every candidate, on which the choice rests.
        runs: how many runs of each candidate these are of.
        earlier: what was chosen before, when this is a choice anew: test figures could be read since then.
    """

    method: str
    validation: Mapping[str, float]
    runs: int
    earlier: Sequence[str] = field(default_factory=list)


class Results(StoredRuns):
    """A file of runs of classifiers; see `StoredRuns`."""

    def write(self, block: Block, method: str, result: Mapping[str, Any], test: Tested) -> None:
        """Store a run: `result`, and its test cases as `test`."""
        self.put(block, method, result, to_json(test))

    def read_test(self, block: Block, method: str, recommendation: Recommendation) -> Tested:
        """The test cases of a run.

        Args:
            recommendation: shows that the choice was made before.

        Raises:
            CrossDError: when none was made.
        """
        if not isinstance(recommendation, Recommendation):
            raise CrossDError(
                f"Test cases are read after a variant was fixed by validation; got {recommendation!r}. Call "
                "recommend(results, …) first."
            )
        return from_json(self.test_of(block, method))


def recommend(results: Results, candidates: Sequence[str], again: bool = False) -> Recommendation:
    """Fix the variant with the best validation AUC, for good: the file of results notes it, and it is read from
    there from then on.

    The mean is over cells of the mean over those seeds that all candidates ran. Candidates without runs are left out.
    Runs by the paper's protocol do not count: their folds are drawn from all splits, the test cases among them.

    Args:
        results: read from their validation side only.
        candidates: names of methods.
        again: choose anew, by validation again, when more has been run; the choice says what was chosen before.

    Raises:
        CrossDError: when no candidate has a run, or one has so few that the choice would rest on less than half of what
            was run.
    """
    before = results.head.get("recommended")
    if before and not again:
        return Recommendation(**before)
    every = {run for run in results.runs() if run[0].cell.protocol != PAPER}
    counts = {name: sum(method == name for _, method in every) for name in candidates}
    run = [name for name in candidates if counts[name]]
    shared = [block for block in {block for block, _ in every} if all((block, name) in every for name in run)]
    if not run or not shared:
        raise CrossDError(
            f"The recommended variant is chosen among {', '.join(candidates)} by runs that all of them share; "
            f"{results.path} has none. Run them first."
        )
    if 2 * len(shared) < max(counts.values()):
        fewest = min(run, key=lambda name: counts[name])
        raise CrossDError(
            f"The recommended variant is chosen by runs that all candidates share; {results.path} has {len(shared)} "
            f"of them, for {fewest} has {counts[fewest]} runs and another {max(counts.values())}. Run it further, or "
            "leave it out of --methods."
        )
    means = {}
    for name in run:
        cells: dict[Cell, list[float]] = {}
        for block in shared:
            cells.setdefault(block.cell, []).append(results.read(block, name)["val"]["auc"])
        means[name] = round(float(np.mean([np.mean(values) for values in cells.values()])), DIGITS)
    best = max(run, key=lambda name: means[name])
    earlier = [*before.get("earlier", []), before["method"]] if before else []
    results.note(recommended={"method": best, "validation": means, "runs": len(shared), "earlier": earlier})
    return Recommendation(best, means, len(shared), earlier)
