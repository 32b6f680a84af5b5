"""Public quality-assurance sets of DICOM against the volumes that another converter made of them.

`python -m scripts.benchmarks.faults.references SETS/* --page docs/reliability.md`: each folder of SETS is a repository
such as `neurolabusc/dcm_qa_mosaic`, with DICOM files in `In` and what dcm2niix makes of them in `Ref`.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from crossd.data import find_cases, read_volume

from scripts.pages import update_page

MARK = "references"
HEAD = """| set | in `Ref` | voxels, place equal | equal up to a scale | not found | volumes read | failed | skipped |
|---|---|---|---|---|---|---|---|"""
_SAME_PLACE = 0.05  # mm


@dataclass
class Comparison:
    """What became of one set: numbers of volumes, and of rows that failed or were skipped."""

    name: str
    expected: int = 0
    equal: int = 0
    scaled: int = 0
    read: int = 0
    failed: int = 0
    skipped: int = 0

    def row(self) -> str:
        """A line of the table."""
        lost = self.expected - self.equal - self.scaled
        numbers = (self.expected, self.equal, self.scaled, lost, self.read, self.failed, self.skipped)
        return f"| {self.name} | {' | '.join(map(str, numbers))} |"


def compare(folder: Path) -> Comparison:
    """Read a set and look for each reference volume among what was read, in any order, each used once."""
    references = _references(folder)
    found = Comparison(folder.name, sum(map(len, references.values())))
    items = find_cases(folder / "In" if (folder / "In").is_dir() else folder)
    series = [item for item in items if not item["error"] and not isinstance(item["image"][0], str)]
    found.skipped = sum(bool(item.get("skipped")) for item in items)
    found.failed = sum(bool(item["error"]) and "skipped" not in item for item in items)
    found.read = len(series)
    left = [item for item in series if not _take(item, references, scaled=False)]
    found.equal = found.expected - sum(map(len, references.values()))
    for item in left:
        found.scaled += _take(item, references, scaled=True)
    return found


def _references(folder: Path) -> dict[tuple[int, ...], list[tuple[np.ndarray, np.ndarray]]]:
    """Voxels and affines of all volumes below `Ref`, axes along the patient's, by their shape."""
    import nibabel

    found = defaultdict(list)
    for path in sorted(folder.rglob("Ref/**/*.nii*")):
        image: Any = nibabel.load(path)
        if image.get_data_dtype().fields:  # colours
            continue
        voxels = np.asanyarray(image.dataobj, dtype=np.float32)
        for volume in np.moveaxis(voxels.reshape(*voxels.shape[:3], -1), 3, 0):
            turned = _turned(volume, image.affine)
            found[turned[0].shape].append(turned)
    return found


def _turned(voxels: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import nibabel

    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(voxels, affine))
    return np.asarray(image.dataobj), image.affine


def _take(
    item: dict[str, Any], references: dict[tuple[int, ...], list[tuple[np.ndarray, np.ndarray]]], scaled: bool
) -> bool:
    """Take the reference that a case is out of those that are left."""
    image = read_volume(item["image"])
    voxels, affine = _turned(image.numpy()[0], np.asarray(image.affine, dtype=float))
    same = references.get(voxels.shape, [])
    for index, (other, place) in enumerate(same):
        if np.abs(place - affine).max() > _SAME_PLACE:
            continue
        slack = 1e-6 * float(np.abs(other).max())
        if (scaled and _correlation(voxels, other) > 0.99999) or np.allclose(voxels, other, rtol=1e-4, atol=slack):
            del same[index]
            return True
    return False


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1]) if one.std() and other.std() else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or put it between its marks on a page; 1 where anything failed to be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args(arguments)
    found = [compare(folder) for folder in given.sets]
    table = "\n".join([HEAD, *(item.row() for item in found)])
    print(table)
    if given.page:
        update_page(given.page, MARK, table)
    return int(any(item.failed for item in found))


if __name__ == "__main__":
    sys.exit(main())
