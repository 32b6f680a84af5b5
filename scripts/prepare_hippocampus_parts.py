r"""Cut the three-class HippocampusParts set out of the Medical Segmentation Decathlon's Task04, for configs/train.json.

    python scripts/prepare_hippocampus_parts.py --root Task04_Hippocampus --output_dir data/parts
    python -m monai.bundle run --config_file configs/train.json --labels data/parts/labels.csv --weights none \
        --roi_size "[24,24,24]" --width 16 --output_dir output/parts
"""

from __future__ import annotations

import argparse
import sys

from crossd.data.hippocampus_parts import prepare_hippocampus_parts
from crossd.errors import CrossDError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder with the folders images and labels of Task04")
    parser.add_argument("--output_dir", required=True, help="receives images/ and labels.csv")
    parser.add_argument("--size", type=int, default=24, help="voxels of a cube along each axis (default: 24)")
    parser.add_argument("--cases", type=int, help="take so many volumes (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice, the background cubes and the split")
    given = vars(parser.parse_args())
    try:
        print(prepare_hippocampus_parts(given.pop("root"), given.pop("output_dir"), **given))
    except CrossDError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
