"""Time and weigh the operator and its networks against the plain ones, and write docs/performance/tables.md.

python -m scripts.benchmarks.speed --section table3

Every measured row is kept in OUTPUT_DIR; a later run measures what is missing. The tables go into the page
OUTPUT_DIR/tables.md.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from crossd.allocation import keep_freed_memory
from crossd.errors import in_one_line

from scripts.benchmarks.speed.results import Results, measure_rows
from scripts.benchmarks.speed.rows import SECTIONS, rows
from scripts.benchmarks.speed.tables import write_tables


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--section", default="all", help=f"{', '.join(SECTIONS)} or all; default: %(default)s")
    parser.add_argument(
        "--rounds", type=int, default=9, help="turns, fewer for slow ones; 0: memory only; default: %(default)s"
    )
    parser.add_argument("--threads", type=int, default=2, help="of torch; default: %(default)s")
    parser.add_argument("--output_dir", default="docs/performance", help="default: %(default)s")
    parser.add_argument("--only", default="", metavar="REGEX", help="rows whose names match")
    parser.add_argument("--forget", metavar="REGEX", help="first drop the results of rows whose names match")
    parser.add_argument("--stop_after", type=float, default=float("inf"), metavar="SECONDS", help="begin no row later")
    arguments = parser.parse_args()
    keep_freed_memory()  # as every run of a config does
    results = Results(arguments.output_dir)
    if arguments.forget:
        print("forgotten:", *results.forget(arguments.forget), sep="\n  ")
    chosen = [row for row in rows(arguments.section) if re.search(arguments.only, row.name)]
    left = measure_rows(chosen, results, arguments.rounds, arguments.threads, arguments.stop_after)
    write_tables(Path(arguments.output_dir) / "tables.md", results)
    print(f"{len(chosen) - left} of {len(chosen)} rows measured")
    return 0


if __name__ == "__main__":
    sys.exit(main())
