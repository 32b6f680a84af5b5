"""Classify very many small cases, kill the run in the middle, go on, and count rows and memory.

python -m scripts.benchmarks.many_cases --cases 10000 --json docs/performance/many_cases.json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from crossd.errors import in_one_line

from scripts.benchmarks.many_cases.measure import describe, holds, machine, measure

ROOT = Path(__file__).resolve().parents[3]


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--size", type=int, default=16, help="voxels of a case's sides; default: %(default)s")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="of each run; default: 1 2")
    parser.add_argument("--no_report", action="store_true", help="without report.html")
    parser.add_argument("--folder", help="keeps inputs and outputs; default: a temporary one")
    parser.add_argument("--seconds", type=float, default=3600, help="a run that takes longer is taken to hang")
    parser.add_argument("--json", help="receives what was found")
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(arguments.folder or made)
        folder.mkdir(parents=True, exist_ok=True)
        for processes in arguments.processes:
            options = {"size": arguments.size, "report": not arguments.no_report, "seconds": arguments.seconds}
            found.append(measure(ROOT / "configs", folder, arguments.cases, processes, **options))
            print(describe(found[-1]), flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"machine": machine(), "runs": found}, indent=1) + "\n")
    return 0 if all(map(holds, found)) else 1


if __name__ == "__main__":
    sys.exit(main())
