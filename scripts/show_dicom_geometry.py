"""Show that tilted slices are straightened and that the patient's position does not matter; prints and draws.

python scripts/show_dicom_geometry.py --dicom ../shared/data/dicom --picture docs/images/ct_head_tilted.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from crossd.data import find_cases, preprocessing, read_volume
from crossd.data.dicom.pixels import read_pixels

INPUT = {"channels": ["image"], "plane": "axial", "spacing": [4.0, 4.0, 4.0], "mean": 0.0, "std": 1.0}
PERCENTILES = {"mode": "percentile", "lower": 0.5, "upper": 99.5}
TURNS = {"as read": (), "upside down": (0,), "front to back": (1,), "both": (0, 1)}


def fit(one: np.ndarray, other: np.ndarray) -> float:
    """The highest correlation at any whole-voxel offset: the head lies elsewhere in the field of view."""
    one, other = ((volume - volume.mean()) / volume.std() for volume in (one, other))
    return float(np.fft.ifftn(np.fft.fftn(one) * np.conj(np.fft.fftn(other))).real.max() / one.size)


def draw(folder: Path, picture: Path) -> None:
    """The middle sagittal cut of a series, slices as stored one on the other and as `read_volume` places them."""
    from matplotlib.figure import Figure

    (case,) = find_cases(folder)
    stored, image = read_pixels(case["image"][0]), read_volume(folder)
    panels = (("as stored", stored, case["image"][0].step), ("as read", image[0].numpy(), image.pixdim[2].item()))
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, (title, voxels, between) in zip(figure.subplots(1, 2), panels, strict=True):
        cut = voxels[voxels.shape[0] // 2].T[::-1]
        axes.imshow(cut, cmap="gray", vmin=-100, vmax=200, aspect=between / image.pixdim[1].item())
        axes.set_title(f"{title}: {cut.shape[0]} slices of {cut.shape[1]} rows", fontsize=9)
        axes.set_axis_off()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=90)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dicom", required=True, type=Path)
    parser.add_argument("--picture", required=True, type=Path)
    arguments = parser.parse_args()
    prepare = preprocessing({**INPUT, "intensity": PERCENTILES})
    prone, supine = (prepare(item)["image"][0].numpy() for item in find_cases(arguments.dicom / "mr_positions"))
    for name, axes in TURNS.items():
        print(f"HFP {name:14} against HFS: correlation {fit(np.flip(prone, axes), supine):.3f}")
    draw(arguments.dicom / "ct_head_tilted", arguments.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
