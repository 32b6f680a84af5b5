r"""Write the labels.csv of a public data set, or of class folders, that `configs/train.json` takes.

    python scripts/prepare_datalist.py --dataset vesselmnist3d --root DOWNLOADS --output_dir data/vessel
    python -m monai.bundle run --config_file "['configs/train.json','configs/datasets/vesselmnist3d.yaml']" \
        --labels data/vessel/labels.csv --output_dir output/vessel

NIfTI and DICOM are used where they are; arrays and videos are written as volumes. `docs/guide/datasets.md` has a table
of the data sets and their options.
"""

from __future__ import annotations

import argparse
import logging
import sys

from crossd.data.sets import DATASETS, prepare_datalist
from crossd.errors import CrossDError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help=f"one of: {', '.join(sorted(DATASETS))}")
    parser.add_argument("--root", required=True, help="the folder with the files as published")
    parser.add_argument("--output_dir", help="receives labels.csv and volumes; default: data/DATASET")
    parser.add_argument("--folds", type=int, help="k-fold cross-validation, by patient: labels_fold0.csv and so on")
    parser.add_argument("--fold", type=int, help="of the folds only this one, from 0, as labels.csv")
    parser.add_argument("--split_fractions", type=float, nargs=3, default=(0.7, 0.15, 0.15), help="train, val, test")
    parser.add_argument("--seed", type=int, default=0, help="of splits and folds; default: %(default)s")
    parser.add_argument("--download", action="store_true", help="get official files that are not in --root")
    parser.add_argument("--unverified", action="store_true", default=None, help="medmnist: take a file saved again")
    options = parser.add_argument_group("options of single data sets (see the guide)")
    options.add_argument("--size", type=int, help="medmnist: pixels a side; busv, ribfrac, hippocampusparts: of a cube")
    options.add_argument("--modalities", help="brats21: of flair,t1,t1ce,t2; ixi: of T1,T2,PD")
    options.add_argument("--task", help="mosmed: ct0_ct23, severity or covid")
    options.add_argument("--subset", help="enhanced-medmnist: name of the file, such as brats21_96")
    options.add_argument("--axes", help="enhanced-medmnist: order of the axes in the file, DHW, HWD or WHD")
    options.add_argument("--patient_pattern", help="class-folders: regular expression that finds the patient in a path")
    options.add_argument(
        "--keep_excluded", action="store_true", default=None, help="brats21, busv: keep known bad cases"
    )
    options.add_argument("--cases", type=int, help="hippocampusparts: take so many of the volumes")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        labels = prepare_datalist(**vars(parser.parse_args()))
    except CrossDError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    with labels.open(encoding="utf-8") as file:
        print(f"{sum(1 for _ in file) - 1} cases; labels: {labels}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
