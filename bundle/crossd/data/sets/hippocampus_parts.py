"""HippocampusParts: which part of the hippocampus a small MR cube shows. A real 3D task made from label maps.

Source: Medical Segmentation Decathlon, Task04 Hippocampus (Antonelli et al., Nature Communications 2022; CC BY-SA 4.0):
MR volumes of 1 mm voxels, cropped around one hippocampus, with label maps 0 background, 1 anterior, 2 posterior. Three
cubes are cut from each volume: around the centre of the anterior part, around that of the posterior part, and where
least of the hippocampus is seen. All lie inside the volume, so that no padding tells them apart. Task04 does not say
which volumes are of one person; every volume counts as a patient, and its three cubes stay in one split.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from crossd.data.sets.array_files import box_around, save_box, with_labels
from crossd.data.sets.facts import DatasetFacts, Found, ReleasedCase
from crossd.data.splits import check_fractions, stratified_split
from crossd.errors import CrossDError

PARTS = ("anterior", "background", "posterior")
FACTS = DatasetFacts(
    name="hippocampusparts",
    title="HippocampusParts (Medical Segmentation Decathlon, Task04)",
    task="part of the hippocampus, brain MR",
    address="http://medicaldecathlon.com",
    licence="CC BY-SA 4.0",
    class_names=PARTS,
    meaning="the part in the middle of the cube; background: where least of the hippocampus is seen",
    get="Download Task04_Hippocampus.tar and put its imagesTr and labelsTr into --root as images and labels.",
    preset="hippocampusparts.yaml",
)
_LABELS = {"anterior": 1, "posterior": 2}
_FEWEST = 0.02  # of the positions of a cube, those with the least hippocampus, are candidates for background


def cube_starts(label_map: np.ndarray, size: int, random: np.random.Generator) -> dict[str, tuple[int, ...]]:
    """The first voxel `(i, j, k)` of the cube of each of `PARTS`.

    Args:
        label_map: `(i, j, k)`: 0 background, 1 anterior, 2 posterior.
        size: voxels of a cube along each axis.
        random: chooses the background cube among those with the least hippocampus.

    >>> labels = np.zeros((20, 20, 10), int)
    >>> labels[4:8, 12:16, 3:7], labels[4:8, 2:6, 3:7] = 1, 2
    >>> starts = cube_starts(labels, 8, np.random.default_rng(0))
    >>> starts["anterior"], starts["posterior"]
    ((2, 10, 1), (2, 0, 1))
    """
    room = np.array(label_map.shape) - size
    if label_map.ndim != 3 or room.min() < 0:
        raise CrossDError(
            f"A cube of {size} voxels must fit into the volume, got {label_map.shape}. Pass a smaller size."
        )
    starts = {}
    for part, value in _LABELS.items():
        if not (label_map == value).any():
            raise CrossDError(f"A label map must show both parts, got none of the {part} one ({value}). Leave it out.")
        starts[part] = box_around(label_map == value, size)
    seen = _sums_of_cubes(label_map > 0, size)
    fewest = np.argwhere(seen <= np.quantile(seen, _FEWEST))
    starts["background"] = tuple(int(v) for v in fewest[random.integers(len(fewest))])
    return starts


def _sums_of_cubes(mask: np.ndarray, size: int) -> np.ndarray:
    """How much of the mask each cube holds, at every first voxel."""
    total = np.pad(mask.astype(np.int64), ((1, 0),) * 3).cumsum(0).cumsum(1).cumsum(2)
    for axis in range(3):
        length = total.shape[axis]
        total = total.take(range(size, length), axis) - total.take(range(length - size), axis)
    return total


def find_hippocampus_parts(
    root: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    size: int = 24,
    cases: int | None = None,
    seed: int = 0,
) -> Found:
    """Write the cubes as NIfTI, each where it lies in its volume; patient and split are given.

    Args:
        root: the folder with `images` and `labels` of Task04; volumes that are not in both are left out.
        output_dir: receives `images/<volume>_<part>.nii.gz`.
        size: voxels (millimetres) of a cube along each axis.
        cases: take so many of the volumes; None: all.
        seed: of the choice of volumes, the background cubes and the split (70 % train, 15 % val, 15 % test).
    """
    found = []
    for name, split in hippocampus_splits(root, cases, seed).items():
        image, labels = with_labels(*(Path(root) / folder / f"{name}.nii.gz" for folder in ("images", "labels")))
        # the volume's own number, so that its cubes do not depend on which others were chosen
        random = np.random.default_rng([seed, int("".join(filter(str.isdigit, name)) or 0)])
        for part, start in sorted(cube_starts(labels, size, random).items()):
            path = Path(output_dir) / "images" / f"{name}_{part}.nii.gz"
            found.append(ReleasedCase((save_box(path, image, start, [size] * 3),), part, name, split))
    return Found(found)


def hippocampus_splits(root: str | os.PathLike[str], cases: int | None = None, seed: int = 0) -> dict[str, str]:
    """The split of each volume of Task04 that has a label map: 70 % train, 15 % val, 15 % test.

    The same for every task that is made of these volumes, so that what one holds out no other has seen. Arguments: see
    `find_hippocampus_parts`.
    """
    volumes = ({path.name for path in Path(root, folder).glob("[!.]*.nii.gz")} for folder in ("images", "labels"))
    names = sorted(name.removesuffix(".nii.gz") for name in set.intersection(*volumes))
    if not names:
        raise CrossDError(
            f"Task04 Hippocampus has the folders images and labels with volumes of the same names, got none in {root}. "
            "Pass --root its folder."
        )
    if cases is not None and not 3 <= cases <= len(names):
        raise CrossDError(f"cases must be 3 to {len(names)}, the volumes in {root}, got {cases}.")
    chosen = sorted(np.random.default_rng(seed).permutation(names)[:cases].tolist())
    splits = stratified_split(chosen, [[0]] * len(chosen), check_fractions((0.7, 0.15, 0.15)), seed)
    return dict(zip(chosen, splits, strict=True))
