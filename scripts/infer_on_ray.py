"""Classify all cases under a path on Ray Data: the tables and maps of configs/inference.json, on a Ray cluster.

python scripts/infer_on_ray.py --images scans --output_dir output/ray --processes 2
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossd.errors import in_one_line
from crossd.inference.on_ray import infer_on_ray

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "inference.json"


@in_one_line
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="as of configs/inference.json; all machines see it")
    parser.add_argument("--output_dir", required=True, help="receives predictions.csv, predictions.json and evidence/")
    parser.add_argument("--weights", help="the model with its card; default: the bundle's own")
    parser.add_argument("--processes", type=int, default=1, help="Ray actors at the same time; default: %(default)s")
    arguments = parser.parse_args()
    options = {"weights": arguments.weights} if arguments.weights else {}
    counts = infer_on_ray(CONFIG, arguments.processes, arguments.images, arguments.output_dir, **options)
    print(f"{counts['ok']} cases done, {counts['failed']} failed, {counts['skipped']} skipped: {arguments.output_dir}")
    return 1 if not counts["ok"] else 2 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
