"""Made volumes and the ways in which scanners lay them out."""

from __future__ import annotations

import numpy as np
import pytest


def rotation(degrees: float, axis: int) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    one, two = [a for a in range(3) if a != axis]
    matrix = np.eye(3)
    matrix[one, one], matrix[one, two], matrix[two, one], matrix[two, two] = c, -s, s, c
    return matrix


def affine(directions: np.ndarray, spacing: tuple[float, float, float] = (1.5, 2.0, 3.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(directions, dtype=float) * spacing
    matrix[:3, 3] = (12.0, -34.0, 56.0)
    return matrix


AXIAL = np.array([[-1, 0, 0], [0, -1, 0], [0, 0, 1]])  # columns: where i, j and k run to, in RAS
SHEARED = AXIAL + np.array([[0, 0, 0], [0, 0, 0.3], [0, 0, 0]])
ORIENTATIONS = {
    "axial": affine(AXIAL),
    "coronal": affine([[-1, 0, 0], [0, 0, -1], [0, -1, 0]]),
    "sagittal": affine([[0, 0, -1], [-1, 0, 0], [0, -1, 0]]),
    "oblique": affine(rotation(20, 0) @ rotation(-15, 2) @ AXIAL),
    "left-handed": affine(AXIAL @ np.diag([1, 1, -1])),
    "oblique left-handed": affine(rotation(25, 1) @ rotation(10, 0) @ np.diag([1, 1, -1])),
}


@pytest.fixture(params=ORIENTATIONS, ids=lambda name: name.replace(" ", "-"))
def voxel_to_world(request: pytest.FixtureRequest) -> np.ndarray:
    """RAS affines of every slicing plane."""
    return ORIENTATIONS[request.param]


@pytest.fixture
def axial() -> np.ndarray:
    """The affine of an ordinary axial stack: i to the left, j to posterior, k to superior; 1.5 × 2 × 3 mm."""
    return ORIENTATIONS["axial"]


@pytest.fixture
def tilted() -> np.ndarray:
    """The same with the gantry tilted by atan(0.3) = 16.7°."""
    return affine(SHEARED)


@pytest.fixture
def volume() -> np.ndarray:
    """int16 of shape (9, 8, 7), no two voxels alike, negative ones included."""
    return np.random.default_rng(1).permutation(9 * 8 * 7).reshape(9, 8, 7).astype(np.int16) - 200


@pytest.fixture
def by_gdcm():
    """An independent reference: the voxels `(column, row, slice)` of single-frame files as ITK's GDCM has them."""
    import itk

    def read(files):
        reader = itk.ImageSeriesReader[itk.Image[itk.F, 3]].New(FileNames=[str(file) for file in files])
        reader.SetImageIO(itk.GDCMImageIO.New())
        reader.Update()
        return itk.array_from_image(reader.GetOutput()).transpose(2, 1, 0)

    return read
