"""The tasks that are made for this benchmark: cubes that are turned and moved, and slices whose order is the answer."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from crossd.data.delimited import write_table
from crossd.data.nifti import write_nifti
from crossd.data.sets import prepare_datalist

HEADER = ["case", "image", "label", "patient", "split"]
SIDE = 20  # voxels of 1 mm
MOVED = 3.0  # mm at most along each axis
ORDER = {"train": 300, "test": 200}  # volumes
SHUFFLED = 1.0  # share of the slices that change places in the second class of `order`: how easy it is


def write_moved_hippocampi(source: Path, folder: Path) -> Path:
    """The cubes of HippocampusParts, each turned by a random rotation and moved: `labels.csv` and images.

    What a turned cube shows beyond the volume is the volume mirrored, for all classes alike.
    """
    import nibabel
    from scipy.ndimage import affine_transform
    from scipy.spatial.transform import Rotation

    straight = prepare_datalist("hippocampusparts", source, folder / "straight")
    with straight.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    told = []
    for number, row in enumerate(rows):
        random = np.random.default_rng([number])
        paths = straight.parent / row["image"], source / "images" / f"{row['patient']}.nii.gz"
        cube, whole = map(nibabel.nifti1.load, paths)
        to_voxel = np.linalg.inv(whole.affine) @ cube.affine
        middle = (to_voxel @ [*(np.array(cube.shape[:3]) / 2 - 0.5), 1])[:3]
        turn = Rotation.random(random_state=number).as_matrix()
        middle = middle + random.uniform(-MOVED, MOVED, 3)
        turned = affine_transform(
            np.asarray(whole.dataobj, np.float32),
            turn,
            middle - turn @ np.full(3, SIDE / 2 - 0.5),
            output_shape=(SIDE,) * 3,
            order=1,
            mode="mirror",
        )
        path = folder / row["image"]
        write_nifti(path, turned)
        told.append([path.name.removesuffix(".nii.gz"), row["image"], row["label"], row["patient"], row["split"]])
    return write(folder, told)


def ordered_slices(random: np.random.Generator, shuffled: bool, share: float = SHUFFLED) -> np.ndarray:
    """A volume `(16, 48, 48)`: a blob that drifts through depth on a smooth path over noise; or its slices shuffled.

    The slices of both classes have the same distribution, and so has what a projection along depth keeps of them.

    >>> volume = ordered_slices(np.random.default_rng(0), shuffled=False)
    >>> volume.shape, volume.dtype.name
    ((16, 48, 48), 'float32')
    """
    depth, side = 16, 48
    at = np.linspace(0, 1, depth)
    start, end = random.uniform(10, side - 10, (2, 2))
    bend = random.uniform(-6, 6, 2)
    path = start + at[:, None] * (end - start) + np.sin(np.pi * at)[:, None] * bend
    if shuffled:
        places = random.permutation(depth)[: round(share * depth)]
        path[places] = path[random.permutation(places)]
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1)
    blobs = np.exp(-((grid[None] - path[:, None, None]) ** 2).sum(-1) / (2 * 4.0**2))
    return (100 * blobs + random.normal(0, 8, blobs.shape)).astype(np.float32)


def write_order(folder: Path) -> Path:
    """`labels.csv` and images of `order`: voxels of 1 mm in the plane, 4 mm across."""
    told = []
    for split, count in ORDER.items():
        for number in range(count):
            name = f"{split}{number:03}"
            random = np.random.default_rng([number, len(split)])
            shuffled = number % 2 == 1
            write_nifti(folder / "images" / f"{name}.nii.gz", ordered_slices(random, shuffled), (4.0, 1.0, 1.0))
            told.append([name, f"images/{name}.nii.gz", "shuffled" if shuffled else "in_order", name, split])
    return write(folder, told)


def write(folder: Path, rows: list[list[str]]) -> Path:
    """`labels.csv` in a folder."""
    path = folder / "labels.csv"
    write_table(path, HEADER, rows)
    return path
