"""Make one file of a folder of the older form, which had a JSON file a run or a report.

python -m scripts.benchmarks.runs.convert docs/results/cpu
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from crossd.errors import CrossDError, in_one_line

from scripts.benchmarks.runs.grid import Block, Cell
from scripts.benchmarks.runs.lines import SUFFIX, write_lines
from scripts.benchmarks.runs.store import Run, in_order


def convert(folder: Path) -> Path:
    """Write `<folder>.jsonl.gz` beside the folder, which stays.

    Returns:
        The file.

    Raises:
        CrossDError: for another folder, a damaged JSON file, a run that lies where another belongs, or a file that is
            there already.
    """
    target = folder.with_name(folder.name + SUFFIX)
    if target.exists():
        raise CrossDError(f"A folder is converted once; {target} is there. Remove one of them.")
    if not any(folder.rglob("*.json")):
        raise CrossDError(f"A folder of results holds JSON files; {folder} has none. Name one that does.")
    write_lines(target, _runs(folder) if (folder / "recipe.json").is_file() else _reports(folder))
    return target


def _runs(folder: Path) -> list[dict[str, Any]]:
    head: dict[str, Any] = {"format": 1, "recipe": _read(folder / "recipe.json"), "inputs": {}}
    for name in ("inputs", "recommended"):
        if (folder / f"{name}.json").is_file():
            head[name] = _read(folder / f"{name}.json")
    runs: dict[Run, dict[str, Any]] = {}
    for path in folder.glob("*/*_*/seed*_*.json"):
        protocol, _, percent = path.parent.name.partition("_")
        seed, _, method = path.stem.partition("_")
        block = Block(Cell(path.parent.parent.name, protocol, int(percent) / 100), int(seed.removeprefix("seed")))
        place, content = {**block.as_json(), "method": method}, _read(path)
        said = {name: content.get(name, value) for name, value in place.items()}
        if said != place:
            raise CrossDError(f"A run lies where its content says; {path} holds {said}. Move it there.")
        runs[block, method] = {**place, **content}
    return [head, *in_order(runs).values()]


def _reports(folder: Path) -> list[dict[str, Any]]:
    """Those in the folder, then those below it, which no table shows."""
    lines = [{"name": path.stem, "report": _read(path)} for path in sorted(folder.glob("*.json"))]
    below = [path for path in sorted(folder.rglob("*.json")) if path.parent != folder]
    return [*lines, *({"name": path.stem, "table": False, "report": _read(path)} for path in below)]


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CrossDError(f"A result must be JSON; {path} is not ({error}). Delete it to run it again.") from error
    return content


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    for folder in arguments.folders:
        print(f"{convert(folder)} holds what {folder} does, which can be removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
