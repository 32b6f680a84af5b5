"""Compare detectors of cases that are unlike the training cases, and report what the bundle answers; see README.md.

python -m scripts.benchmarks.scope --data ../shared/data
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossd.errors import in_one_line

from scripts.benchmarks.runs.lines import changing, read_lines, results_file, write_lines
from scripts.benchmarks.scope.comparing import answers, compare, table
from scripts.pages import update_page

ROOT = Path(__file__).resolve().parents[3]


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="compare detectors on the sets in this folder")
    parser.add_argument("--final", action="store_true", help="AdrenalMNIST3D too, once the detector is chosen")
    parser.add_argument("--answers", nargs="+", default=[], help="NAME=OUTPUT_DIR of runs of configs/inference.json")
    parser.add_argument("--inside", default="vessel", help="which of them is of cases inside; default: %(default)s")
    parser.add_argument("--results", default=str(ROOT / "docs" / "results" / "scope.jsonl.gz"))
    parser.add_argument("--page", default=str(ROOT / "docs" / "results" / "tables.md"))
    given = parser.parse_args()
    path = results_file(given.results)
    with changing(path):
        lines = read_lines(path)
        if given.data is not None:
            kept = [line for line in lines if line["kind"] == "answers"]
            lines = [*compare(ROOT / "models" / "model.pt", given.data, given.final), *kept]
        if given.answers:
            runs = dict(one.split("=", 1) for one in given.answers)
            told = [answers(name, Path(folder), name == given.inside) for name, folder in runs.items()]
            lines = [*(line for line in lines if line["kind"] != "answers"), *told]
        write_lines(path, lines)
    update_page(given.page, "scope", table(lines))
    print(table(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
