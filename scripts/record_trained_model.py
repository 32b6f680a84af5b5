"""Record a model that configs/train.json trained and configs/evaluate.json tested, for the tables of docs/results.md.

python scripts/record_trained_model.py --output_dir output/vessel --record docs/results/full/vesselmnist3d_28.json
"""

from __future__ import annotations

import argparse
import sys

from crossd.benchmark.transfer.trained import record_trained
from crossd.errors import CrossDError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True, help="of the run, with its evaluation in it")
    parser.add_argument("--record", required=True, help="the JSON file to write: <set>_<voxels a side>.json")
    arguments = parser.parse_args()
    try:
        recorded = record_trained(arguments.output_dir, arguments.record)
    except CrossDError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.record}: AUC {recorded['metrics']['auc']['value']:.3f}, {recorded['model']['bytes']} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
