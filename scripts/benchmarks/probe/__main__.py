"""Measure the probe beside trivial baselines, draw by draw; see README.md.

python -m scripts.benchmarks.probe --data ../shared/data --work output/probe_benchmark
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossd.errors import in_one_line
from tqdm import tqdm

from scripts.benchmarks.probe.measuring import measure
from scripts.benchmarks.probe.sets import SOURCES, WEIGHTS, read_set
from scripts.benchmarks.probe.table import table
from scripts.benchmarks.runs.lines import changing, read_lines, results_file, write_lines
from scripts.pages import update_page

ROOT = Path(__file__).resolve().parents[3]


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data; without it only the table is made")
    parser.add_argument("--work", type=Path, default=ROOT / "output" / "probe_benchmark", help="volumes and features")
    parser.add_argument("--sets", nargs="+", default=[*SOURCES], choices=[*SOURCES])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)), help="draws of 10 %% of the labels")
    parser.add_argument("--results", default=str(ROOT / "docs" / "results" / "probe.jsonl.gz"))
    parser.add_argument("--page", default=str(ROOT / "docs" / "results" / "probe.md"))
    given = parser.parse_args()
    path = results_file(given.results)
    for name in given.sets if given.data is not None else []:
        draws = [(1.0, 0)] + ([] if name == "acdc" else [(0.1, seed) for seed in given.seeds])
        found = read_set(name, given.data, given.work)
        for fraction, seed in tqdm(draws, desc=name):
            new = [{"kind": "row", **line} for line in measure(found, fraction, seed)]
            with changing(path):
                lines = read_lines(path) or [{"kind": "recipe", "weights": WEIGHTS}]
                keys = [(line.get("set"), line.get("fraction"), line.get("seed")) for line in lines]
                kept = [line for line, key in zip(lines, keys, strict=True) if key != (name, fraction, seed)]
                write_lines(path, [*kept, *new])
    text = table(read_lines(path))
    update_page(given.page, "probe", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
