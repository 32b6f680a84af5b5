"""The results on disk: one JSON file per run, written in one step; the test side is shut until a variant is fixed."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from crossd.benchmark.transfer.grid import PAPER, Block, Cell
from crossd.benchmark.transfer.tested import Tested, from_json, to_json
from crossd.errors import CrossDError

DIGITS = 5  # of a stored mean


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


class AnyRecipe(Protocol):
    """What is asked of a recipe: plain values, by which results of other recipes are told apart."""

    def as_json(self) -> dict[str, Any]: ...


class Results:
    """A folder of results, all of one recipe.

    Args:
        folder: made where it is missing.
        recipe: None: whatever the folder was made with.

    Raises:
        CrossDError: when the folder's results were made with another recipe.
    """

    def __init__(self, folder: str | os.PathLike[str], recipe: AnyRecipe | None = None) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "recipe.json"
        if path.is_file():
            self.recipe = read_json(path)
            if recipe is not None and recipe.as_json() != self.recipe:
                given = recipe.as_json()
                changed = [
                    f"{name} {self.recipe.get(name)!r} -> {given.get(name)!r}"
                    for name in {**self.recipe, **given}
                    if given.get(name) != self.recipe.get(name)
                ]
                raise CrossDError(
                    f"The results of a folder share one recipe; {self.folder} has another than is asked for: "
                    f"{'; '.join(changed)}. Pass the folder's recipe, or another --results folder."
                )
        elif recipe is not None:
            self.recipe = recipe.as_json()
            write_json(path, self.recipe)
        else:
            raise CrossDError(f"There must be results to report; {self.folder} has none. Run the benchmark first.")

    def made_of(self, digests: Mapping[str, str]) -> None:
        """Hold runs to come to the data and the weights of those that are stored; `inputs.json` remembers them.

        Args:
            digests: by name, such as "set vesselmnist3d"; what is new is added.

        Raises:
            CrossDError: when a name now stands for another file.
        """
        path = self.folder / "inputs.json"
        known = read_json(path) if path.is_file() else {}
        changed = [name for name, digest in digests.items() if known.get(name, digest) != digest]
        if changed:
            raise CrossDError(
                f"The runs of a folder share their data and weights; {self.folder} was begun with another file for "
                f"{', '.join(changed)}. Pass the files it was begun with, or another --results folder."
            )
        write_json(path, {**known, **digests})

    def __contains__(self, run: tuple[Block, str]) -> bool:
        return (self.folder / run[0].path(run[1])).is_file()

    def write(self, block: Block, method: str, result: Mapping[str, Any], test: Tested) -> None:
        """Store a run: `result`, and its test cases as `test`."""
        write_json(self.folder / block.path(method), {**result, "test": to_json(test)})

    def read(self, block: Block, method: str) -> dict[str, Any]:
        """A run without its test cases: validation, seconds and what it was made of."""
        content = read_json(self.folder / block.path(method))
        return {name: value for name, value in content.items() if name != "test"}

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
        return from_json(read_json(self.folder / block.path(method))["test"])

    def runs(self) -> dict[tuple[Block, str], Path]:
        """Every stored run, of whatever grid."""
        found = {}
        for path in sorted(self.folder.glob("*/*_*/seed*_*.json")):
            protocol, _, percent = path.parent.name.partition("_")
            seed, _, method = path.stem.partition("_")
            cell = Cell(path.parent.parent.name, protocol, int(percent) / 100)
            found[Block(cell, int(seed.removeprefix("seed"))), method] = path
        return found

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder against a second benchmark that would do the same runs.

        Raises:
            CrossDError: when another process holds it.
        """
        with (self.folder / "recipe.json").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise CrossDError(
                    f"One benchmark writes to a folder at a time; {self.folder} is in use. Wait for it, or pass "
                    "another --results folder."
                ) from error
            yield


def recommend(results: Results, candidates: Sequence[str], again: bool = False) -> Recommendation:
    """Fix the variant with the best validation AUC, for good: `recommended.json` is written, and read from then on.

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
    path = results.folder / "recommended.json"
    if path.is_file() and not again:
        return Recommendation(**read_json(path))
    every = {run for run in results.runs() if run[0].cell.protocol != PAPER}
    counts = {name: sum(method == name for _, method in every) for name in candidates}
    run = [name for name in candidates if counts[name]]
    shared = [block for block in {block for block, _ in every} if all((block, name) in every for name in run)]
    if not run or not shared:
        raise CrossDError(
            f"The recommended variant is chosen among {', '.join(candidates)} by runs that all of them share; "
            f"{results.folder} has none. Run them first."
        )
    if 2 * len(shared) < max(counts.values()):
        fewest = min(run, key=lambda name: counts[name])
        raise CrossDError(
            f"The recommended variant is chosen by runs that all candidates share; {results.folder} has {len(shared)} "
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
    before = read_json(path) if path.is_file() else None
    earlier = [*before.get("earlier", []), before["method"]] if before else []
    write_json(path, {"method": best, "validation": means, "runs": len(shared), "earlier": earlier})
    return Recommendation(best, means, len(shared), earlier)


def read_json(path: Path) -> dict[str, Any]:
    """A stored file.

    Raises:
        CrossDError: when it is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CrossDError(f"A result must be JSON; {path} is not ({error}). Delete it to run it again.") from error
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Store a file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".json.partial")
    partial.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    os.replace(partial, path)
