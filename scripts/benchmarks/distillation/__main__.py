"""Measure what distillation without labels brings to frozen features of VesselMNIST3D; see README.md.

python -m scripts.benchmarks.distillation --data ../shared/data --work output/distillation_benchmark
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossd.errors import CrossDError

from scripts.benchmarks.distillation.measuring import labels_of, measure, networks
from scripts.benchmarks.distillation.table import table
from scripts.benchmarks.runs.lines import changing, read_lines, results_file, write_lines
from scripts.pages import update_page

ROOT = Path(__file__).resolve().parents[3]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data; without it only the table is made")
    parser.add_argument("--work", type=Path, default=ROOT / "output" / "distillation_benchmark")
    parser.add_argument("--runs", type=int, nargs="+", default=[0], help="seeds of distillations")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)), help="draws of 10 %% of the labels")
    parser.add_argument("--results", default=str(ROOT / "docs" / "results" / "distillation.jsonl.gz"))
    parser.add_argument("--page", help="gets the table between its marks distillation")
    given = parser.parse_args()
    try:
        path = results_file(given.results)
        if given.data is not None:
            work = given.work.absolute()
            labels = labels_of(given.data.absolute(), work)
            for network in networks(labels, work, given.runs):
                for line in measure(network, labels, work, given.seeds):
                    with changing(path):
                        kept = [old for old in read_lines(path) if (old["network"], old["seed"]) != _key(line)]
                        write_lines(path, [*kept, line])
        text = table(read_lines(path))
        print(text)
        if given.page:
            update_page(given.page, "distillation", text)
    except CrossDError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _key(line: dict[str, object]) -> tuple[object, object]:
    return line["network"], line["seed"]


if __name__ == "__main__":
    sys.exit(main())
