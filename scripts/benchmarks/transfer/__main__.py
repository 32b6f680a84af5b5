"""Measure what 2D pre-training is worth on volumes: sets × methods × protocols × label fractions × seeds.

python scripts/benchmark_transfer.py --data DIR --pretrained DIR --results docs/results/cpu --budget 2

Every run is one JSON file under --results and is not repeated; --report makes the tables of docs/results.md of them.
"""

from __future__ import annotations

import argparse
import sys

from crossd.benchmark.transfer.command import add_arguments, benchmark, report
from crossd.errors import CrossDError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    arguments = parser.parse_args()
    try:
        left = 0 if arguments.report or arguments.validation else benchmark(arguments)
        print(report(arguments))
    except CrossDError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 3 if left else 0


if __name__ == "__main__":
    sys.exit(main())
