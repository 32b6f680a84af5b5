"""RibFrac: rib fractures in chest CT, cut out as cubes of 64 mm, and what kind each is.

Layout of the Zenodo records: `Part1/RibFrac1-image.nii.gz` and `…-label.nii.gz` (training parts 1 and 2),
`ribfrac-val-images/RibFrac421-image.nii.gz` and `ribfrac-val-labels/…`, and the tables `ribfrac-train-info-1.csv`,
`ribfrac-train-info-2.csv` and `ribfrac-val-info.csv` with public_id, label_id (value in the label map) and label_code
(0 background, 1 displaced, 2 nondisplaced, 3 buckle, 4 segmental, −1 not known).

The paper's set "Fracture" is FractureMNIST3D at 64³ (its 1,370 samples are those of `--dataset fracturemnist3d`), which
was made from this data: a cube around the centre of each fracture of three kinds. Here the cubes are cut from the
originals, in their own voxels and Hounsfield units, so that nothing is resampled twice. A scan is a patient.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from crossd.data.delimited import read_table
from crossd.data.sets.array_files import box_around, save_box, with_labels
from crossd.data.sets.facts import DatasetFacts, Found, PaperRow, ReleasedCase

FACTS = DatasetFacts(
    name="ribfrac",
    title="RibFrac",
    task="kind of a rib fracture, chest CT",
    address="https://ribfrac.grand-challenge.org/dataset/",
    licence="CC BY-NC 4.0",
    class_names=("buckle", "nondisplaced", "displaced"),
    meaning="the kind of the fracture in the middle of the cube; segmental and unknown ones are left out",
    get="Download images, labels and info CSV of https://zenodo.org/records/3893508, 3893498 (training) and 3893496 "
    "(validation) and unpack them into --root; the test labels are not published.",
    preset="ribfrac.yaml",
    paper=PaperRow("V", 1370, (1, 64, 64, 64), (0, 255), 3),
)
_KINDS = {1: "displaced", 2: "nondisplaced", 3: "buckle"}


def find_ribfrac(root: str | os.PathLike[str], output_dir: str | os.PathLike[str], *, size: int = 64) -> Found:
    """Cut out the fractures of each scan, cubes of `size` millimetres a side, as NIfTI, each where it lies in the scan.

    The root holds the unpacked records; the files are `images/<scan>_<label>.nii.gz`.
    """
    root = Path(root)
    kinds = _kinds(root)
    scans = {path.name.split("-")[0]: path for path in sorted(root.rglob("RibFrac*-image.nii*"))}
    maps = {path.name.split("-")[0]: path for path in sorted(root.rglob("RibFrac*-label.nii*"))}
    ready = [scan for scan in kinds if scan in scans and scan in maps]
    if not ready:
        raise FACTS.missing("RibFrac1-image.nii.gz, RibFrac1-label.nii.gz and so on", root)
    cases, left_out = [], Counter[str]()
    for scan in ready:
        split, labels = kinds[scan]
        wanted = {value: _KINDS[code] for value, code in labels.items() if code in _KINDS}
        left_out.update("segmental" if code == 4 else "unknown" for code in labels.values() if code in (4, -1))
        if wanted:
            paths = _cut(scans[scan], maps[scan], scan, list(wanted), size, Path(output_dir))
            cases += [ReleasedCase((path,), wanted[value], scan, split) for value, path in paths.items()]
    notes = [f"{count} {kind} fractures are left out." for kind, count in sorted(left_out.items())]
    if len(ready) < len(kinds):
        notes.append(f"{len(kinds) - len(ready)} scans of the CSV files are not here.")
    return Found(cases, notes=notes)


def _kinds(root: Path) -> dict[str, tuple[str, dict[int, int]]]:
    """For each scan its split and `{label_id: label_code}`, in numerical order."""
    tables = sorted(root.rglob("ribfrac-*-info*.csv"))
    if not tables:
        raise FACTS.missing("ribfrac-train-info-1.csv, ribfrac-train-info-2.csv and ribfrac-val-info.csv", root)
    codes: dict[str, dict[int, int]] = defaultdict(dict)
    split_of = {}
    for table in tables:
        for row in read_table(table, "RibFrac's info", needed=("public_id", "label_id", "label_code")).rows:
            if row["public_id"] != "public_id":  # a header in the middle of joined files
                codes[row["public_id"]][int(row["label_id"])] = int(row["label_code"])
                split_of[row["public_id"]] = "val" if "-val-" in table.name else "train"
    order = sorted(codes, key=lambda scan: (len(scan), scan))
    return {scan: (split_of[scan], codes[scan]) for scan in order}


def _cut(image: Path, label_map: Path, scan: str, values: list[int], size: int, output_dir: Path) -> dict[int, Path]:
    """Write a cube around the centre of each label value that is there."""
    import nibabel

    volume, labels = with_labels(image, label_map)
    whole = nibabel.Nifti1Image(np.asarray(volume.dataobj).astype(np.int16, copy=False), volume.affine)  # read once
    extent = np.minimum(np.rint(size / np.array(volume.header.get_zooms()[:3])).astype(int), volume.shape)
    paths = {}
    for value in values:
        if (labels == value).any():
            path = output_dir / "images" / f"{scan}_{value:02d}.nii.gz"
            paths[value] = save_box(path, whole, box_around(labels == value, extent), extent)
    return paths
