"""Measure segmentation of hippocampus: networks and pre-trained encoders × label fractions × seeds.

python scripts/benchmark_segmentation.py --data DIR --pretrained DIR --results docs/results/segmentation --budget 2

Every run is one JSON file under --results and is not repeated; --report makes the tables of docs/results.md of them.
"""

from __future__ import annotations

import argparse
import sys

from crossd.benchmark.segmentation.command import add_arguments, benchmark, report
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
