r"""Write the labels.csv of a public data set, or of class folders, that `configs/train.json` takes.

    python scripts/prepare_datalist.py --dataset vesselmnist3d --root DOWNLOADS --output_dir data/vessel
    python -m monai.bundle run --config_file "['configs/train.json','configs/datasets/vesselmnist3d.yaml']" \
        --labels data/vessel/labels.csv --output_dir output/vessel

NIfTI and DICOM are used where they are; arrays and videos are written as volumes. `docs/guide/datasets.md` has a table
of the data sets and their options.
"""

from __future__ import annotations

import sys

from crossd.cli import main

if __name__ == "__main__":
    sys.exit(main(["prepare", *sys.argv[1:]]))
