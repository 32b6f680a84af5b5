"""What is written as (depth, height, width) is read back by `plane="axial"` as the same array, to the bit."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from crossd.data import preprocessing
from crossd.data.nifti import axial_to_stored, write_nifti
from crossd.errors import CrossDError

CARD_INPUT = {"channels": ["image"], "plane": "axial", "spacing": None, "mean": 0.0, "std": 1.0}
CARD_INPUT |= {"intensity": {"mode": "window", "lower": 0, "upper": 255}}


@pytest.fixture
def volume():
    return np.random.default_rng(0).integers(0, 256, size=(5, 6, 7)).astype(np.uint8)


def test_axial_reading_gives_back_the_array(volume, tmp_path):
    path = write_nifti(tmp_path / "volume.nii.gz", volume)
    read = preprocessing(CARD_INPUT)({"case": "a", "source": str(path), "image": str(path)})["image"]
    assert read.shape == (1, 5, 6, 7)
    np.testing.assert_allclose(np.asarray(read[0]) * 255, volume, atol=1e-4)


def test_depth_runs_up_height_back_and_width_to_the_left(volume, tmp_path):
    image = nibabel.load(write_nifti(tmp_path / "volume.nii.gz", volume, spacing=(3.0, 2.0, 0.5)))
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == (0.5, 2.0, 3.0)  # (i, j, k) = (width, height, depth)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, volume)


def test_the_centre_of_the_volume_is_the_origin(volume):
    stored, voxel_to_world = axial_to_stored(volume, spacing=(3.0, 2.0, 0.5))
    centre = [*((np.array(stored.shape) - 1) / 2), 1]
    np.testing.assert_allclose(voxel_to_world @ centre, [0, 0, 0, 1])


def test_equal_volumes_give_equal_bytes(volume, tmp_path):
    first, second = (write_nifti(tmp_path / name / "volume.nii.gz", volume) for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_bad_arguments_are_refused(volume, tmp_path):
    with pytest.raises(CrossDError, match=r"axes \(depth, height, width\), got shape \(5, 6\)"):
        write_nifti(tmp_path / "a.nii", volume[..., 0])
    with pytest.raises(CrossDError, match=r"three positive lengths in millimetres, got \(1, 0, 1\)"):
        write_nifti(tmp_path / "a.nii", volume, spacing=(1, 0, 1))
    with pytest.raises(CrossDError, match=r"ends in \.nii or \.nii\.gz, got 'a\.img'"):
        write_nifti(tmp_path / "a.img", volume)
