"""Measure segmentation of hippocampus: networks and pre-trained encoders × label fractions × seeds.

python -m scripts.benchmarks.segmentation --data DIR --pretrained DIR --budget 2

Every run is stored in the file --results and not repeated; --report makes the tables of docs/results/tables.md.
"""

from __future__ import annotations

import sys

from scripts.benchmarks.runs.command import main
from scripts.benchmarks.segmentation.command import add_arguments, benchmark, report

if __name__ == "__main__":
    sys.exit(main(__doc__, add_arguments, benchmark, report))
