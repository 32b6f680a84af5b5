"""Make the input of `make demo`: phantom vessels as NIfTI files, and one of them as a DICOM series too.

python scripts/make_demo_data.py --output_dir demo/input
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossd.data.dicom.writing import write_dicom_series
from crossd.data.nifti import axial_to_stored, write_nifti
from crossd.data.phantoms import vessel_phantom


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True, type=Path)
    parser.add_argument("--cases", type=int, default=3, help="of each class; default: %(default)s")
    arguments = parser.parse_args()
    for seed in range(arguments.cases):
        for name, aneurysm in (("healthy", False), ("aneurysm", True)):
            write_nifti(arguments.output_dir / f"{name}_{seed}.nii.gz", vessel_phantom(seed, aneurysm))
    stored, voxel_to_world = axial_to_stored(vessel_phantom(0, aneurysm=True))
    series = arguments.output_dir / "aneurysm_0_dicom"  # the volume of aneurysm_0.nii.gz: the same answer is due
    slices = write_dicom_series(series, stored, voxel_to_world, description="phantom")
    print(f"{2 * arguments.cases} NIfTI volumes and a DICOM series of {len(slices)} slices in {arguments.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
