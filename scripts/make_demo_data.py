"""Make the input of the demo: phantom vessels as NIfTI files, and one of them as a DICOM series too.

python scripts/make_demo_data.py --output_dir demo/input
"""

from __future__ import annotations

import argparse
from pathlib import Path

from crossd.cli.demo import write_demo_data

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True, type=Path)
    parser.add_argument("--cases", type=int, default=3, help="of each class; default: %(default)s")
    arguments = parser.parse_args()
    print(write_demo_data(arguments.output_dir, arguments.cases))
