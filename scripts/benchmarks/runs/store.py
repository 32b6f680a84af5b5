"""The stored runs of a table: one file, which says first what all of them share, then has a line a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from crossd.errors import CrossDError

from scripts.benchmarks.runs.grid import Block, Cell
from scripts.benchmarks.runs.lines import alone, changing, read_lines, results_file, write_lines

DIGITS = 5  # of a stored mean
Run = tuple[Block, str]


class AnyRecipe(Protocol):
    """What is asked of a recipe: plain values, by which results of other recipes are told apart."""

    def as_json(self) -> dict[str, Any]: ...


class StoredRuns:
    """A file of runs, all of one recipe. It is rewritten after each run, so a stop loses none.

    The first line has `recipe`, `inputs` (what data and weights the runs were made of) and what `note` adds; a run says
    its set, protocol, fraction, seed and method, and its test cases as `test`.

    Args:
        path: `<table>.jsonl.gz`; made where it is missing.
        recipe: None: whatever the file was made with.

    Raises:
        CrossDError: when the file's results were made with another recipe, or it is no such file.
    """

    def __init__(self, path: str | os.PathLike[str], recipe: AnyRecipe | None = None) -> None:
        self.path = results_file(path)
        given = None if recipe is None else recipe.as_json()
        if not self.path.is_file():
            if given is None:
                raise CrossDError(f"There must be results to report; {self.path} has none. Run the benchmark first.")
            with changing(self.path):
                if not self.path.is_file():  # another process may have been faster
                    write_lines(self.path, [{"format": 1, "recipe": given, "inputs": {}}])
        changed = [
            f"{name} {self.recipe.get(name)!r} -> {(given or {}).get(name)!r}"
            for name in {**self.recipe, **(given or {})}
            if given is not None and given.get(name) != self.recipe.get(name)
        ]  # None is as if it were not there
        if changed:
            raise CrossDError(
                f"The results of a file share one recipe; {self.path} has another than is asked for: "
                f"{'; '.join(changed)}. Pass the file's recipe, or another --results file."
            )

    @property
    def head(self) -> dict[str, Any]:
        """What all runs share."""
        return dict(self._content()[0])

    @property
    def recipe(self) -> dict[str, Any]:
        """With which all runs were made."""
        return dict(self.head["recipe"])

    def note(self, **shared: Any) -> None:
        """Add to what all runs share."""
        with changing(self.path):
            head, *runs = read_lines(self.path)
            write_lines(self.path, [{**head, **shared}, *runs])

    def made_of(self, digests: Mapping[str, str]) -> None:
        """Hold runs to come to the data and the weights of those that are stored; the file remembers them.

        Args:
            digests: by name, such as "set vesselmnist3d"; what is new is added.

        Raises:
            CrossDError: when a name now stands for another file.
        """
        known = self.head["inputs"]
        changed = [name for name, digest in digests.items() if known.get(name, digest) != digest]
        if changed:
            raise CrossDError(
                f"The runs of a file share their data and weights; {self.path} was begun with another file for "
                f"{', '.join(changed)}. Pass the files it was begun with, or another --results file."
            )
        self.note(inputs={**known, **digests})

    def __contains__(self, run: Run) -> bool:
        return run in self._content()[1]

    def runs(self) -> list[Run]:
        """Every stored run, of whatever grid, by name."""
        return list(self._content()[1])

    def put(self, block: Block, method: str, result: Mapping[str, Any], test: Mapping[str, Any]) -> None:
        """Store a run: `result`, and of its test cases `test`; one that is stored already is replaced."""
        with changing(self.path):
            head, *lines = read_lines(self.path)
            runs = {run_of(line): line for line in lines}
            runs[block, method] = {**block.as_json(), "method": method, **result, "test": dict(test)}
            write_lines(self.path, [head, *in_order(runs).values()])

    def read(self, block: Block, method: str) -> dict[str, Any]:
        """A run without its test cases: validation, seconds and what it was made of."""
        return {name: value for name, value in self._content()[1][block, method].items() if name != "test"}

    def test_of(self, block: Block, method: str) -> dict[str, Any]:
        """What is stored of a run's test cases."""
        return dict(self._content()[1][block, method]["test"])

    def alone(self) -> AbstractContextManager[None]:
        """Hold the file against a second benchmark; see `lines.alone`."""
        return alone(self.path)

    def _content(self) -> tuple[dict[str, Any], dict[Run, dict[str, Any]]]:
        found = self.path.stat()
        return _content(self.path, found.st_mtime_ns, found.st_size, found.st_ino)


def run_of(line: Mapping[str, Any]) -> Run:
    """Which run a line is of."""
    return Block(Cell(line["set"], line["protocol"], line["fraction"]), line["seed"]), line["method"]


def in_order(runs: Mapping[Run, dict[str, Any]]) -> dict[Run, dict[str, Any]]:
    """The runs by name."""
    return dict(sorted(runs.items(), key=lambda entry: entry[0][0].name(entry[0][1])))


@lru_cache(maxsize=4)
def _content(path: Path, *which: int) -> tuple[dict[str, Any], dict[Run, dict[str, Any]]]:
    """The first line and the runs of one state of a file."""
    lines = read_lines(path)
    try:
        return lines[0], {run_of(line): line for line in lines[1:]}
    except (IndexError, KeyError, TypeError) as error:
        raise CrossDError(
            f"A file of runs begins with their recipe and says of each what it is; {path} does not "
            f"({type(error).__name__}: {error}). Take it from the repository again, or delete it to begin anew."
        ) from error
