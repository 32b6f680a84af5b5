"""Law: whatever one header says, the other series are read, and what is refused says why."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from crossd.data import find_cases, find_series, read_volume, write_dicom_series
from crossd.data.dicom.straightening import straighten
from crossd.errors import CrossDError


@pytest.fixture
def two(tmp_path, volume, axial):
    """A good series, and one whose header is to be spoilt."""
    write_dicom_series(tmp_path / "good", volume, axial)
    return write_dicom_series(tmp_path / "odd", volume, axial)


def spoilt(files, number, **elements):
    """Change elements without pydicom's checks of what they may hold."""
    dataset = pydicom.dcmread(files[number])
    for keyword, value in elements.items():
        dataset[keyword].value = value
    dataset.save_as(files[number])


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("ImagePositionPatient", [1, 2], r"ImagePositionPatient (0020,0032) must hold 3 numbers, got [1.0, 2.0] in '"),
        ("ImagePositionPatient", [1, 2, 3, 4], "must hold 3 numbers"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 1], "ImageOrientationPatient (0020,0037) must hold 6 numbers"),
        ("PixelSpacing", 0.5, "PixelSpacing (0028,0030) must hold 2 positive numbers, got [0.5] in '"),
        ("PixelSpacing", [0, 0], "must hold 2 positive numbers, got [0.0, 0.0]"),
        ("PixelSpacing", [-1, 1], "must hold 2 positive numbers"),
    ],
)
def test_numbers_that_are_too_few_many_or_small(tmp_path, two, keyword, value, said):
    spoilt(two, 3, **{keyword: value})
    items = find_cases(tmp_path)
    (wrong,) = [item for item in items if item["error"]]
    assert said in wrong["error"]
    assert "Correct the header, or copy the file again." in wrong["error"]
    assert [item["image"][0].shape[2] for item in items if not item["error"]] == [7, 6]


@pytest.mark.parametrize("moved", [200.0, 1e6, 1e12])
@pytest.mark.parametrize("number", [0, 3, 6])
def test_a_slice_beside_the_others_is_no_volume(two, moved, number):
    spoilt(two, number, ImagePositionPatient=[moved, 34, 56 + 3 * number])
    series, (rejected,) = find_series(two)
    assert series == []
    assert "Neighbouring slices of a volume must overlap: slice " in rejected.reason
    assert "Correct ImagePositionPatient (0020,0032), or put its parts" in rejected.reason


def test_slices_that_no_memory_holds():
    places = [(0, 0, 0), (0, 1e6, 1), (1e6, 0, 2)]
    with pytest.raises(CrossDError, match=r"'head' has, with its slices where they lie, 1000004 × 1000004 × 3 voxels"):
        straighten(np.zeros((4, 4, 3), dtype=np.float32), np.eye(4), places, 1.0, "head")


def test_slices_thicker_than_their_distance(two):
    for file in two:
        dataset = pydicom.dcmread(file)
        dataset.SliceThickness = 5
        dataset.save_as(file)
    (series,), _ = find_series(two)
    assert series.warnings == ("Slices overlap: each is 5 mm thick (SliceThickness), and they lie 3.00 mm apart.",)


def test_padding_of_inverted_grey_values(tmp_path, axial):
    """Padding is a stored value: 0 in a MONOCHROME1 image is the brightest one, unless it is not looked at."""
    volume = np.arange(4 * 4 * 3).reshape(4, 4, 3) + 100
    volume[:2] = 0
    files = write_dicom_series(
        tmp_path, volume, axial, photometric="MONOCHROME1", RescaleSlope=None, RescaleIntercept=None
    )
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.PixelRepresentation = 0
        dataset.add_new("PixelPaddingValue", "US", 0)
        dataset.save_as(file)
    image = read_volume(tmp_path)
    darkest = 4095 - volume.max()
    np.testing.assert_array_equal(image[0], np.where(volume == 0, darkest, 4095 - volume))
    assert "50.0% of the voxels are padding (PixelPaddingValue 4095)" in image.meta["warnings"]
