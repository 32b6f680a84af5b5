"""The sets of shapes that detectors are compared on, in cubes of 64 voxels with values 0 and 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from crossd.errors import CrossDError

SIDE = 64
Shapes = Iterator[np.ndarray]


def vessels(data: Path, split: str, name: str = "vesselmnist3d_64") -> Shapes:
    """Those of a MedMNIST set."""
    path = data / "medmnist" / f"{name}.npz"
    if not path.is_file():
        raise CrossDError(f"The sets of the benchmark lie below --data; {path} does not. See tests/README.md.")
    with np.load(path) as arrays:
        yield from (arrays[f"{split}_images"] > 0).astype(np.float32)


def choice_sets(data: Path) -> dict[str, Callable[[], Shapes]]:
    """By name, what makes each of them."""
    return {
        "hippocampus": lambda: (_placed(mask > 0) for mask in _hippocampi(data)),
        "hippocampus-large": lambda: (_filling(mask > 0) for mask in _hippocampi(data)),
        "hippocampus-anterior": lambda: (_filling(mask == 1) for mask in _hippocampi(data)),
        "ventricle-right": lambda: _hearts(data, 1),
        "myocardium": lambda: _hearts(data, 2),
        "ventricle-left": lambda: _hearts(data, 3),
        "vessel-noise": lambda: _noisy(data),
        "vessel-inverted": lambda: (1 - vessel for vessel in vessels(data, "val")),
        **{
            f"{name}-moved": lambda make=make: moved(make(), data)  # type: ignore[misc]
            for name, make in {
                "hippocampus": lambda: (_placed(mask > 0) for mask in _hippocampi(data)),
                "ventricle-left": lambda: _hearts(data, 3, side=40),
            }.items()
        },
        "vessel-turned": lambda: (np.ascontiguousarray(vessel.transpose(2, 0, 1)) for vessel in vessels(data, "val")),
        "vessel-small": lambda: (_filling(vessel > 0, 44) for vessel in vessels(data, "val")),
    }


def _hippocampi(data: Path, most: int = 130) -> Shapes:
    import nibabel

    for path in sorted((data / "hippocampus_msd" / "labels").glob("*.nii.gz"))[:most]:
        yield np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]


def _hearts(data: Path, value: int, most: int = 100, side: int = 60) -> Shapes:
    import nibabel
    from scipy.ndimage import zoom

    for path in sorted((data / "acdc" / "labels").glob("*ED.nii.gz"))[:most]:
        image = nibabel.load(path)
        sizes = np.array(image.header.get_zooms()[:3])  # type: ignore[attr-defined]
        mask = (np.asarray(image.dataobj) == value).astype(np.float32)  # type: ignore[attr-defined]
        yield _filling(zoom(mask, sizes / sizes.min(), order=1) > 0.5, side)


def moved(shapes: Shapes, data: Path) -> Shapes:
    """Each shape moved as a whole so that its centre is that of a training vessel: its place says nothing."""
    from scipy.ndimage import center_of_mass

    random = np.random.default_rng(0)
    centres = [center_of_mass(vessel) for vessel in vessels(data, "train")]
    for shape in shapes:
        off = np.subtract(centres[random.integers(len(centres))], center_of_mass(shape)).round().astype(int)
        room = [(-low, SIDE - 1 - high) for low, high in zip(*_bounds(shape), strict=True)]
        yield np.roll(shape, [int(np.clip(by, *within)) for by, within in zip(off, room, strict=True)], (0, 1, 2))


def _bounds(shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    where = np.argwhere(shape)
    return where.min(0), where.max(0)


def _noisy(data: Path) -> Shapes:
    random = np.random.default_rng(0)
    for vessel in vessels(data, "val"):
        yield np.abs(vessel - (random.random(vessel.shape) < 0.02)).astype(np.float32)


def _placed(mask: np.ndarray) -> np.ndarray:
    """In the middle of a cube; what does not fit is cut off.

    >>> float(_placed(np.ones((2, 70, 4))).sum()) == 2 * 64 * 4
    True
    """
    cube = np.zeros((SIDE,) * 3, np.float32)
    sizes = [min(SIDE, size) for size in mask.shape]
    cube[tuple(slice((SIDE - size) // 2, (SIDE - size) // 2 + size) for size in sizes)] = mask[
        tuple(slice(size) for size in sizes)
    ]
    return cube


def _filling(mask: np.ndarray, side: int = 60) -> np.ndarray:
    """Scaled so that its longest side is `side` voxels."""
    from scipy.ndimage import zoom

    low, high = _bounds(mask)
    cut = mask[tuple(map(slice, low, high + 1))].astype(np.float32)
    return _placed(zoom(cut, side / max(cut.shape), order=1) > 0.5)
