"""Measure what 2D pre-training is worth on volumes: sets × methods × protocols × label fractions × seeds.

python -m scripts.benchmarks.transfer --data DIR --pretrained DIR --results docs/results/cpu.jsonl.gz --budget 2

Every run is stored in the file --results and not repeated; --report makes the tables of docs/results/tables.md.
"""

from __future__ import annotations

import sys

from scripts.benchmarks.runs.command import main
from scripts.benchmarks.transfer.command import add_arguments, benchmark, report

if __name__ == "__main__":
    sys.exit(main(__doc__, add_arguments, benchmark, report))
