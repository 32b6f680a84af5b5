"""Carry the figures of an evaluation of the shipped model into configs/metadata.json, docs/ and models/README.md.

python scripts/update_model_card.py --evaluation_dir output --finding aneurysm
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossd.errors import CrossDError
from crossd.model_card import update_model_card


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluation_dir", required=True, help="what configs/evaluate.json wrote")
    parser.add_argument("--finding", required=True, help="the class whose AUC by voxel count is quoted beside")
    arguments = parser.parse_args()
    try:
        update_model_card(Path(__file__).resolve().parents[1], arguments.evaluation_dir, arguments.finding)
    except CrossDError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
