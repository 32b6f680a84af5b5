"""Vessel-like volumes for the demo and the tests: made from a seed, so that nothing has to be downloaded.

They imitate the volumes of VesselMNIST3D (Yang et al., MedMNIST v2, Scientific Data 2023; vessel segments of IntrA,
Yang et al., CVPR 2020): one connected solid of 0 and 255, voxelised coarsely. Voxel counts and radii were matched to
the training split at 64³; `tests/data/test_phantoms.py` states the figures. They are no data to train or judge on.
"""

from __future__ import annotations

import numpy as np

from crossd.errors import CrossDError

_COARSE = 29 / 64  # the 64³ volumes of VesselMNIST3D show cubes 64/29 voxels wide: their meshes were voxelised that way
_POINTS = 48  # per centreline: they lie closer together than any tube is thick, so no gaps


def vessel_phantom(seed: int, aneurysm: bool, size: int = 64) -> np.ndarray:
    """A segment of a brain vessel, with a saccular bulge on its wall or without.

    A smooth random centreline with one or two branches is widened to tubes that taper; `aneurysm` adds a sphere whose
    radius is 1.4 to 1.9 times that of the vessel where it sits. The same seed gives the same vessel for both values
    of `aneurysm`: the bulge only adds voxels.

    Args:
        seed: non-negative; different seeds give different vessels.
        aneurysm: whether the bulge is there.
        size: voxels along each axis, at least 16.

    Returns:
        uint8, 0 or 255, shape `(depth, height, width)`, each `size`.

    Raises:
        CrossDError: a size below 16 or a negative seed.

    >>> healthy, bulging = vessel_phantom(0, aneurysm=False), vessel_phantom(0, aneurysm=True)
    >>> healthy.shape, healthy.dtype, np.unique(healthy).tolist()
    ((64, 64, 64), dtype('uint8'), [0, 255])
    >>> bool(((healthy > 0) <= (bulging > 0)).all()), bool((bulging > 0).sum() > (healthy > 0).sum())
    (True, True)
    """
    if size < 16:
        raise CrossDError(
            f"A phantom needs at least 16 voxels a side, got size={size}. Use 28 or 64, as MedMNIST does."
        )
    if seed < 0:
        raise CrossDError(f"A seed is 0 or greater, got {seed}. Use its absolute value.")
    vessel_random, sac_random = (np.random.default_rng([seed, stream]) for stream in (0, 1))
    radius = float(np.clip(np.exp(vessel_random.normal(np.log(0.073), 0.24)), 0.045, 0.11))
    trunk = _trunk(vessel_random)
    tubes = [(trunk, radius * np.linspace(1.1, 0.85, _POINTS))]
    for _ in range(vessel_random.integers(1, 3)):
        branch = _branch(vessel_random, trunk)
        tubes.append((branch, radius * np.linspace(0.9, 0.65, _POINTS)))
    if aneurysm:
        tubes.append(_sac(sac_random, *tubes[0]))

    cells = round(size * _COARSE)
    centres = (np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1) + 0.5) / cells
    inside = np.zeros((cells, cells, cells), dtype=bool)
    for points, radii in tubes:
        for point, reach in zip(points, radii, strict=True):
            inside |= ((centres - point) ** 2).sum(axis=-1) <= reach**2
    nearest = ((np.arange(size) + 0.5) * cells / size).astype(int)
    return np.where(inside[np.ix_(nearest, nearest, nearest)], 255, 0).astype(np.uint8)


def _trunk(random: np.random.Generator) -> np.ndarray:
    """A bent line through the middle of the unit cube, shape `(points, 3)`: a cubic Bézier curve."""
    direction = _unit(random.normal(size=3))
    half = random.uniform(0.30, 0.40)
    ends = 0.5 + np.outer([-half, half], direction)
    handles = 0.5 + np.outer([-half / 3, half / 3], direction) + random.normal(scale=0.14, size=(2, 3))
    return _bezier(np.stack([ends[0], *handles, ends[1]]))


def _branch(random: np.random.Generator, trunk: np.ndarray) -> np.ndarray:
    """A shorter curve that leaves the trunk from its middle half."""
    index = int(random.integers(_POINTS // 4, 3 * _POINTS // 4))
    tangent = _unit(trunk[index + 1] - trunk[index - 1])
    away = _unit(_perpendicular(random, tangent) + random.uniform(-0.7, 0.7) * tangent)
    length = random.uniform(0.22, 0.36)
    handles = trunk[index] + np.outer([length / 3, 2 * length / 3], away) + random.normal(scale=0.04, size=(2, 3))
    return _bezier(np.stack([trunk[index], *handles, trunk[index] + length * away]))


def _sac(random: np.random.Generator, trunk: np.ndarray, radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre `(1, 3)` and radius `(1,)` of a sphere that grows out of the wall of the trunk and stays in the cube."""
    index = int(random.integers(_POINTS // 3, 2 * _POINTS // 3))
    tangent = _unit(trunk[index + 1] - trunk[index - 1])
    reach = max(float(radii[index]) * random.uniform(1.4, 1.9), 0.09)
    centre = trunk[index] + (radii[index] * 0.6 + reach * 0.7) * _perpendicular(random, tangent)
    return np.clip(centre, reach, 1 - reach)[None], np.array([reach])


def _bezier(control: np.ndarray) -> np.ndarray:
    """Points along the cubic Bézier curve of four control points `(4, 3)`."""
    t = np.linspace(0, 1, _POINTS)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    return weights @ control


def _perpendicular(random: np.random.Generator, direction: np.ndarray) -> np.ndarray:
    """A random unit vector at a right angle to a unit vector."""
    vector = random.normal(size=3)
    return _unit(vector - (vector @ direction) * direction)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
