"""Law: however slices are stacked, a structure ends where it lies in the patient."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from crossd.data import find_cases, preprocessing, read_volume, write_dicom_series
from crossd.data.dicom.straightening import straighten
from crossd.errors import CrossDError

SHEAR = 0.3


def anatomy(points):
    """Smooth values of places `(..., 3)` in millimetres, RAS; linear in each axis, so that interpolation is exact."""
    x, y, z = np.moveaxis(np.asarray(points, dtype=float), -1, 0)
    return 1000 + 3 * x + 5 * y - 7 * z


def scan(affine, shape=(40, 36, 12)):
    """What a scanner with this affine stores of the anatomy."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return np.rint(anatomy(grid @ affine[:3, :3].T + affine[:3, 3])).astype(np.int16)


def places_of(image):
    """Where the voxels of an image `(1, i, j, k)` lie, RAS."""
    grid = np.stack(np.meshgrid(*map(np.arange, image.shape[1:]), indexing="ij"), -1)
    return grid @ image.affine.numpy()[:3, :3].T + image.affine.numpy()[:3, 3]


def inside(image):
    """Voxels that the anatomy reaches: the others have the smallest value."""
    return image[0].numpy() > image.min().item() + 1


def test_a_tilt_is_straightened_along_the_shear(tmp_path, tilted, caplog):
    write_dicom_series(tmp_path, scan(tilted), tilted, modality="CT")
    with caplog.at_level(logging.WARNING):
        image = read_volume(tmp_path)
    axes = image.affine.numpy()[:3, :3] / np.linalg.norm(image.affine.numpy()[:3, :3], axis=0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)  # at right angles now
    np.testing.assert_allclose(np.linalg.norm(image.affine.numpy()[:3, :3], axis=0), [1.5, 2.0, 3.0], atol=1e-6)
    assert image.shape == (1, 40, 36 + 5, 12)  # 0.3 × 3 mm a slice, 11 times, in rows of 2 mm: 4.95
    there = inside(image)
    expected = anatomy(places_of(image))
    edges = np.zeros(there.shape, dtype=bool)  # rows half of which are outside are blended with it
    edges[:, 1:-1] = there[:, 1:-1] & there[:, :-2] & there[:, 2:]
    assert there.mean() > 0.85
    np.testing.assert_allclose(image[0].numpy()[edges], expected[edges], atol=1.01)  # stored as whole numbers
    assert "sheared by 16.7° (gantry tilt)" in image.meta["warnings"]
    assert "resampled along the shear" in image.meta["warnings"]
    assert "a gantry tilt of 16.7° was corrected by resampling along the shear" in caplog.text


def test_a_tilt_that_is_refused(tmp_path, tilted):
    write_dicom_series(tmp_path, scan(tilted), tilted, modality="CT")
    message = r"stacked along their normal where a tilt is refused: .* sheared by 16.7° .* Choose tilt 'correct'"
    with pytest.raises(CrossDError, match=message):
        read_volume(tmp_path, tilt="refuse")
    (item,) = find_cases(tmp_path, tilt="refuse")
    assert "sheared by 16.7°" in item["error"]
    with pytest.raises(CrossDError, match=r"`tilt` must be one of 'correct', 'refuse'; got 'keep'"):
        find_cases(tmp_path, tilt="keep")


def test_a_tilt_reaches_the_network_straight_without_a_spacing(tmp_path, tilted):
    """A card without a spacing resamples nothing itself; before, its volumes stayed sheared."""
    write_dicom_series(tmp_path, scan(tilted), tilted, modality="CT")
    card = {"channels": ["ct"], "plane": "axial", "spacing": None, "mean": 0.0, "std": 1.0}
    prepare = preprocessing({**card, "intensity": {"mode": "window", "lower": 0, "upper": 2000}})
    image = prepare({"image": find_cases(tmp_path)[0]["image"]})["image"]
    there = image[0].numpy() > image.min().item() + 1e-3
    off = np.abs(image[0].numpy() - anatomy(places_of(image)) / 2000)[there]
    assert np.percentile(off, 95) < 0.001  # the rest: rows at the edge
    assert there.mean() > 0.6  # the window has cut off the lowest


@pytest.mark.parametrize("lost", [[3], [5, 6], [2, 8]])
def test_missing_slices_are_filled_from_their_neighbours(tmp_path, axial, lost):
    files = write_dicom_series(tmp_path, scan(axial), axial)
    whole = read_volume(tmp_path)
    for k in lost:
        files[k].unlink()
    image = read_volume(tmp_path)
    assert f"probably {len(lost)} missing" in image.meta["warnings"]
    assert image.shape == whole.shape
    np.testing.assert_allclose(image.affine, whole.affine, atol=1e-5)
    np.testing.assert_allclose(image, whole, atol=1.01)  # the anatomy is linear


def test_two_spacings(tmp_path, axial, edit):
    """As head scans have them, thin slices at the base: nothing is missing, and nothing is displaced."""
    heights = [0, 4, 8, 12, 16, 23, 30, 37]
    files = write_dicom_series(tmp_path, scan(axial, (8, 8, 8)), axial)
    for k, (file, height) in enumerate(zip(files, heights, strict=True)):
        edit(file, ImagePositionPatient=[-12, 34, 56 + height], RescaleSlope=1, RescaleIntercept=-7 * (height - 3 * k))
    image = read_volume(tmp_path)
    assert "gaps of 4.00 to 7.00 mm, usually 4.00 mm" in image.meta["warnings"]
    assert "missing" not in image.meta["warnings"]
    assert image.shape[3] == 10  # 37 mm in steps of 4.1
    np.testing.assert_allclose(image[0], anatomy(places_of(image)), atol=1.5)


def test_a_slice_astray_is_put_where_it_lies(tmp_path, axial, edit):
    files = write_dicom_series(tmp_path, scan(axial), axial)
    edit(files[3], ImagePositionPatient=[-12 + 6.0, 34, 65])  # four columns to the patient's left
    image = read_volume(tmp_path)
    assert "displaced in their plane by up to 6.0 mm, and moved to where they lie" in image.meta["warnings"]
    np.testing.assert_array_equal(image[0, 4:, :, 3], scan(axial)[:, :, 3])
    np.testing.assert_array_equal(image[0, :40, :, 4], scan(axial)[:, :, 4])


def test_a_gap_too_wide_to_fill(tmp_path, axial, edit):
    files = write_dicom_series(tmp_path, scan(axial), axial)
    for k, file in enumerate(files[6:]):
        edit(file, ImagePositionPatient=[-12, 34, 500 + 3 * k])
    with pytest.raises(
        CrossDError,
        match=r"must be neighbours: .* a gap of 429 mm after slice 6 of 12, where 3.00 mm is usual. Put its",
    ):
        read_volume(tmp_path)


def test_straighten_is_exact_for_whole_voxels():
    volume = np.random.default_rng(0).random((5, 6, 4)).astype(np.float32)
    places = [(0, 0, 0), (2, 0, 1), (-1, 3, 2), (0, 1, 3)]
    moved, affine = straighten(volume, np.eye(4), places, 1.0)
    assert moved.shape == (8, 9, 4)
    assert affine[:3, 3].tolist() == [-1, 0, 0]
    for k, (i, j, _) in enumerate(places):
        np.testing.assert_array_equal(moved[1 + i : 6 + i, j : 6 + j, k], volume[:, :, k])
        assert (moved[:, :, k] == volume.min()).sum() >= 72 - 30
