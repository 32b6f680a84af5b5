"""Law: the tiles of a mosaic are the slices of a volume, at the places that its header gives them, or it is refused."""

from __future__ import annotations

import struct

import numpy as np
import pydicom
import pytest
from crossd.data import find_cases, find_series, read_volume, write_dicom_series
from pydicom.dataset import Dataset


def csa(**tags):
    """A CSA header of numbers, as Siemens writes it (https://nipy.org/nibabel/dicom/siemens_csa.html)."""
    out = b"SV10\4\3\2\1" + struct.pack("<2I", len(tags), 77)
    for name, values in tags.items():
        out += struct.pack("<64si4s3i", name.encode(), len(values), b"FD", 4, len(values), 77)
        for text in (f"{value:.8f}".encode() + b"\0" for value in values):
            out += struct.pack("<4i", len(text), len(text), 77, len(text)) + text + b"\0" * (-len(text) % 4)
    return out


@pytest.fixture
def mosaic(tmp_path, volume, axial):
    """The volume of 7 slices as one image of 3 × 3 tiles, slices 3 mm apart, as Siemens' scanners store it."""

    def write(folder="m", values=volume, normal=None, count=7, number=1, **tags):
        sheet = np.zeros((3 * 9, 3 * 8), dtype=values.dtype)
        for k in range(7):
            row, column = divmod(k, 3)
            sheet[column * 9 : column * 9 + 9, row * 8 : row * 8 + 8] = values[:, :, k]
        # the position is that of a larger image about the same centre
        corner = axial.copy()
        corner[:3, 3] -= axial[:3, 0] * 9 + axial[:3, 1] * 8
        kinds = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
        made = {"ImageType": kinds, "SpacingBetweenSlices": 3.0, "AcquisitionNumber": number, **tags}
        (file,) = write_dicom_series(
            tmp_path / folder, sheet[:, :, None], corner, series_uid="1.2.3", prefix=f"{number}-", **made
        )
        dataset = pydicom.dcmread(file)
        dataset.SOPInstanceUID = f"1.2.3.{number}"
        if count:
            dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", count)
        if normal is not None:
            block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
            block.add_new(0x10, "OB", csa(SliceNormalVector=normal, NumberOfImagesInMosaic=[7]))
        dataset.save_as(file)
        return file

    return write


@pytest.mark.parametrize("packed", [False, True])
def test_tiles_become_slices(mosaic, only, volume, axial, packed):
    file = mosaic()
    if packed:
        dataset = pydicom.dcmread(file)
        dataset.compress("1.2.840.10008.1.2.5")
        dataset.save_as(file)
    series = only([file])
    image = read_volume(series)
    np.testing.assert_array_equal(image[0], volume)
    np.testing.assert_allclose(image.affine, axial, atol=1e-4)
    assert image.meta["warnings"] == ""


def test_slices_that_run_against_the_normal_of_their_planes(mosaic, only, volume, axial):
    """Siemens numbers slices from the feet up or from the head down; the CSA header says which."""
    series = only([mosaic(normal=[0.0, 0.0, -1.0])])
    image = read_volume(series)
    np.testing.assert_array_equal(image[0], volume[:, :, ::-1])
    np.testing.assert_allclose(image.affine[:3, 3], axial[:3, 3] - [0, 0, 18], atol=1e-4)


def test_the_csa_header_alone_counts_them(mosaic, only, volume):
    np.testing.assert_array_equal(read_volume(only([mosaic(count=0, normal=[0.0, 0.0, 1.0])]))[0], volume)


def test_each_mosaic_of_a_series_is_a_volume(mosaic, volume):
    series, rejected = find_series([mosaic(values=volume + number, number=number) for number in (1, 2, 3)])
    assert rejected == []
    assert [item.split for item in series] == [f"AcquisitionNumber {number}" for number in (1, 2, 3)]
    for number, item in enumerate(series, 1):
        np.testing.assert_array_equal(read_volume(item)[0], volume + number)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"count": 0}, "A mosaic must say how many slices it has: '"),
        ({"count": 30}, "has 27 × 24 pixels for 30 slices, which makes 6 × 6 tiles"),
        ({"SpacingBetweenSlices": None, "SliceThickness": None}, "A mosaic must say how far its slices lie apart: '"),
    ],
)
def test_what_cannot_be_unfolded_is_refused(mosaic, given, said):
    file = mosaic(**given)
    (item,) = find_cases(file.parent)
    assert said in item["error"]
    assert "skipped" not in item


def test_a_grid_of_united_imaging(mosaic, only, volume, axial):
    """Each tile states its place; there are as few rows of tiles as suffice: 3 × 3 of 7."""
    file = mosaic(count=0, ImageType=["ORIGINAL", "PRIMARY", "M", "VFRAME"])
    dataset = pydicom.dcmread(file)
    del dataset.ImagePositionPatient
    frames = []
    for k in range(7):
        frames.append(Dataset())
        place = np.diag([-1, -1, 1]) @ (axial @ [0, 0, k, 1])[:3]
        frames[k].ImagePositionPatient = [float(value) for value in place]
    dataset.private_block(0x0065, "Image Private Header", create=True).add_new(0x51, "SQ", frames)
    dataset.save_as(file)
    image = read_volume(only([file]))
    np.testing.assert_array_equal(image[0], volume)
    np.testing.assert_allclose(image.affine, axial, atol=1e-4)


def test_real_mosaics(shared_data):
    for item in find_cases(shared_data / "dicom" / "transfer_syntax"):
        assert item["image"][0].shape == (64, 64, 35)
