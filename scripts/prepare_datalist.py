r"""Write a public data set as NIfTI volumes and a labels.csv that `configs/train.json` takes.

    python scripts/prepare_datalist.py --dataset vesselmnist3d --root DOWNLOADS --output_dir data/vessel
    python -m monai.bundle run --config_file configs/train.json --labels data/vessel/labels.csv \
        --classes "['healthy','aneurysm']" --output_dir output/vessel
"""

from __future__ import annotations

import argparse
import sys

from crossd.data.sets import DATASETS, prepare_datalist
from crossd.errors import CrossDError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help=f"one of: {', '.join(sorted(DATASETS))}")
    parser.add_argument("--root", required=True, help="the folder with the files as published")
    parser.add_argument("--output_dir", required=True, help="where the volumes and labels.csv go")
    parser.add_argument("--size", type=int, help="voxels a side, for the sets that come in several")
    parser.add_argument("--cases", type=int, help="hippocampusparts: take so many volumes (default: all)")
    parser.add_argument("--seed", type=int, help="hippocampusparts: of the background cubes and the split")
    arguments = vars(parser.parse_args())
    try:
        labels = prepare_datalist(**arguments)
    except CrossDError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    with labels.open(encoding="utf-8") as file:
        print(f"{sum(1 for _ in file) - 1} volumes; labels: {labels}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
