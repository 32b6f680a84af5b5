"""Rounding in a file's header must not move what the network sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crossd.data.preprocessing import preprocessing
from crossd.data.resampling import tidy_affine
from monai.data import MetaTensor
from monai.data.utils import compute_shape_offset, zoom_affine
from monai.transforms import Compose


def oblique(spacing: tuple[float, ...] = (0.8, 0.8, 2.0), shear: float = 0.0) -> np.ndarray:
    angles = np.deg2rad([12, 31])
    (c, s), (c2, s2) = ((np.cos(angle), np.sin(angle)) for angle in angles)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.array([[c2, -s2, 0], [s2, c2, 0], [0, 0, -1]])
    affine[:3, 2] += shear * affine[:3, 1]
    affine[:3, :3] *= spacing
    affine[:3, 3] = [-10.3, 20.1, 300.7]
    return affine


@pytest.mark.parametrize("lose", [np.float32, lambda affine: affine.round(6)])
def test_what_formats_lose_does_not_move_the_grid(lose: object) -> None:
    """MONAI's grid for 1 mm voxels: without tidying, the second one starts half a voxel elsewhere."""
    shape = (36, 29, 30)

    def grid(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return compute_shape_offset(shape, affine, zoom_affine(affine, [1.0, 1, 1], diagonal=False))

    exact, lossy = oblique(), np.asarray(lose(oblique()), dtype=np.float64)  # type: ignore[operator]
    assert np.abs(grid(exact)[1] - grid(lossy)[1]).max() > 0.1
    np.testing.assert_allclose(grid(tidy_affine(exact))[1], grid(tidy_affine(lossy))[1], atol=1e-4)
    np.testing.assert_array_equal(grid(tidy_affine(exact))[0], grid(tidy_affine(lossy))[0])


def test_it_changes_nothing_but_rounding() -> None:
    np.testing.assert_allclose(tidy_affine(oblique()), oblique(), atol=1e-12)
    np.testing.assert_allclose(tidy_affine(oblique().astype(np.float32)), oblique(), atol=1e-5)
    assert np.linalg.det(oblique()[:3, :3]) < 0  # left-handed stays left-handed
    assert np.linalg.det(tidy_affine(oblique())[:3, :3]) < 0


def test_a_tilted_gantry_stays_tilted() -> None:
    tilted = oblique(shear=np.tan(np.deg2rad(0.5)))
    np.testing.assert_allclose(tidy_affine(tilted), tilted, atol=1e-4)
    directions = tidy_affine(tilted)[:3, :3] / np.linalg.norm(tidy_affine(tilted)[:3, :3], axis=0)
    assert directions[:, 1] @ directions[:, 2] == pytest.approx(np.sin(np.deg2rad(0.5)), abs=1e-6)


def test_tiny_voxels_keep_their_size() -> None:
    assert tidy_affine(np.diag([0.0012345678, 1, 1, 1]))[0, 0] == pytest.approx(0.00123457, abs=1e-12)


def test_every_door_tidies() -> None:
    """Other software (MONAI Deploy, MONAI Label) reads the series itself: the first transform rounds its affine."""
    card = {"channels": ["image"], "plane": "axial", "spacing": [1, 1, 1], "mean": 0, "std": 1}
    chain = Compose(preprocessing({**card, "intensity": {"mode": "range"}}).transforms[2:])  # without reading
    voxels = torch.rand(1, 36, 29, 30)
    exact, lossy = (
        chain({"image": MetaTensor(voxels, affine=torch.from_numpy(affine))})["image"]
        for affine in (oblique(), oblique().round(6))
    )
    assert exact.shape == lossy.shape
    torch.testing.assert_close(exact.affine, lossy.affine, atol=1e-4, rtol=0)
    torch.testing.assert_close(exact.as_tensor(), lossy.as_tensor(), atol=1e-3, rtol=0)
