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
from crossd.data.sets.facts import DatasetFacts, Found, PaperRow, ReleasedCase
from crossd.errors import CrossDError

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
    """Cut out the fractures of each scan as NIfTI, each where it lies in the scan.

    Args:
        root: the unpacked records.
        output_dir: receives `images/<scan>_<label>.nii.gz`.
        size: millimetres a side.

    Raises:
        CrossDError: no CSV, no scans, or a scan and a label map of different shape.
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
        for value, path in _cut(scan, scans[scan], maps[scan], list(wanted), size, Path(output_dir)).items():
            cases.append(ReleasedCase((path,), wanted[value], patient=scan, split=split))
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
        read = read_table(table, "RibFrac's info")
        if not read.rows or read.lacking(("public_id", "label_id", "label_code")):
            raise CrossDError(
                f"RibFrac's info has public_id, label_id and label_code, {table} has not. Download it again."
            )
        for row in read.rows:
            if row["public_id"] != "public_id":  # a header in the middle of joined files
                codes[row["public_id"]][int(row["label_id"])] = int(row["label_code"])
                split_of[row["public_id"]] = "val" if "-val-" in table.name else "train"
    order = sorted(codes, key=lambda scan: (len(scan), scan))
    return {scan: (split_of[scan], codes[scan]) for scan in order}


def _cut(scan: str, image: Path, label_map: Path, values: list[int], size: int, output_dir: Path) -> dict[int, Path]:
    """Write a cube around the centre of each label value, moved so far that it lies inside the scan."""
    import nibabel

    if not values:
        return {}
    volume = nibabel.Nifti1Image.from_filename(image)
    labels = np.asarray(nibabel.Nifti1Image.from_filename(label_map).dataobj)
    if labels.shape != volume.shape:
        raise CrossDError(
            f"A label map has its scan's shape, got {labels.shape} and {volume.shape} for {scan}. Unpack it again."
        )
    whole = nibabel.Nifti1Image(np.asarray(volume.dataobj).astype(np.int16, copy=False), volume.affine)  # read once
    shape = np.array(volume.shape)
    extent = np.minimum(np.rint(size / np.array(volume.header.get_zooms()[:3])).astype(int), shape)
    paths = {}
    for value in values:
        where = np.argwhere(labels == value)
        if not len(where):
            continue
        start = np.clip(np.rint(where.mean(0) - (extent - 1) / 2).astype(int), 0, shape - extent)
        box = tuple(slice(first, first + length) for first, length in zip(start, extent, strict=True))
        path = output_dir / "images" / f"{scan}_{value:02d}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(whole.slicer[box], path)  # keeps the affine right
        paths[value] = path
    return paths
