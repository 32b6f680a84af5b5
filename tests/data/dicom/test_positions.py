"""Law: however the patient lies on the table, the same anatomy comes out."""

from __future__ import annotations

import numpy as np
import pytest
from crossd.data import preprocessing, read_volume, write_dicom_series

# PatientPosition (0018,5100): where columns and rows of the image, and the slices from the first on, run to in RAS.
# The scanner's image is that of its table; the patient's axes are what turns (PS3.3, C.7.3.1.1.2).
POSITIONS = {
    "HFS": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "HFP": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "FFS": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "FFP": ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
    "HFDR": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "HFDL": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    "FFDR": ((0, -1, 0), (-1, 0, 0), (0, 0, -1)),
    "FFDL": ((0, 1, 0), (1, 0, 0), (0, 0, -1)),
}
SIZE = np.array([9, 8, 7])
ANATOMY = np.random.default_rng(5).permutation(9 * 8 * 7).reshape(9, 8, 7).astype(np.int16)  # RAS, 2 mm


def scan(folder, position):
    """The anatomy as stored with this position: the voxel (i, j, k) shows what is at its place."""
    axes = np.array(POSITIONS[position], dtype=float).T  # columns: where i, j, k run to
    of_axis = np.abs(axes).argmax(axis=0)
    shape = SIZE[of_axis]
    start = np.where(axes.sum(axis=1) > 0, 0, SIZE - 1)  # the corner that voxel 0 lies at, in voxels of the anatomy
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    places = (grid @ axes.T + start).astype(int)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = 2 * axes, 2 * start
    stored = ANATOMY[places[..., 0], places[..., 1], places[..., 2]]
    write_dicom_series(folder, stored, affine, PatientPosition=position)
    return folder


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("position", POSITIONS)
def test_the_anatomy_is_the_same(tmp_path, position, plane):
    card = {"channels": ["x"], "plane": plane, "spacing": None, "mean": 0.0, "std": 1.0}
    prepare = preprocessing({**card, "intensity": {"mode": "window", "lower": 0, "upper": 504}})
    image, reference = (prepare({"image": str(scan(tmp_path / name, name))})["image"] for name in (position, "HFS"))
    np.testing.assert_allclose(image.affine, reference.affine, atol=1e-6)
    np.testing.assert_array_equal(image, reference)
    if plane == "axial":  # rows from anterior to posterior, columns from right to left, slices from below
        expected = ANATOMY[::-1, ::-1, :].transpose(2, 1, 0) / np.float32(504)
        np.testing.assert_allclose(image[0], expected, rtol=1e-6)


def test_positions_are_stored_differently(tmp_path):
    """Else the law above would say nothing."""
    stored = {name: read_volume(scan(tmp_path / name, name)) for name in POSITIONS}
    assert (
        len({(volume.shape, volume[0, 0, 0, 0].item(), volume[0, -1, 0, 0].item()) for volume in stored.values()}) == 8
    )
