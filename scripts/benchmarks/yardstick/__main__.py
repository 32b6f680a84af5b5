"""How a volume is best shown to frozen 2D weights; the protocol is scripts/benchmarks/transfer/PROTOCOL.md.

python -m scripts.benchmarks.yardstick --data ../shared/data --work output/yardstick
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossd.errors import in_one_line
from tqdm import tqdm

from scripts.benchmarks.runs.lines import changing, read_lines, results_file, write_lines
from scripts.benchmarks.yardstick.arms import ARMS, features
from scripts.benchmarks.yardstick.measuring import measure
from scripts.benchmarks.yardstick.table import figure, short, tables
from scripts.benchmarks.yardstick.tasks import TASKS, read_task
from scripts.pages import update_page

ROOT = Path(__file__).resolve().parents[3]
KEY = ("task", "labels", "seed", "arm")


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data; without it only tables and figure are made")
    parser.add_argument("--work", type=Path, default=ROOT / "output" / "yardstick", help="volumes, features, networks")
    parser.add_argument("--tasks", nargs="+", default=[*TASKS], choices=[*TASKS])
    parser.add_argument("--arms", nargs="+", default=[*ARMS], choices=[*ARMS])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)), help="draws of few labels")
    parser.add_argument("--results", default=str(ROOT / "docs" / "results" / "yardstick.jsonl.gz"))
    parser.add_argument("--page", default=str(ROOT / "docs" / "results" / "yardstick.md"))
    parser.add_argument("--summary", default=str(ROOT / "docs" / "results.md"), help="page that gets the short tables")
    given = parser.parse_args()
    path = results_file(given.results)
    for name in given.tasks if given.data is not None else []:
        task = read_task(name, given.data.absolute(), given.work.absolute())
        known = features(task, given.work.absolute(), given.arms)
        for labels, seed in tqdm([("all", 0), *(("few", seed) for seed in given.seeds)], desc=name):
            new = list(measure(task, known, labels, seed, given.arms))
            made = [[line[key] for key in KEY] for line in new]
            with changing(path):
                kept = [line for line in read_lines(path) if [line[key] for key in KEY] not in made]
                write_lines(path, [*kept, *new])
    lines = read_lines(path)
    update_page(given.page, "yardstick", tables(lines))
    update_page(given.summary, "yardstick", short(lines))
    figure(Path(given.page).with_suffix(".png"), lines)
    print(tables(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
