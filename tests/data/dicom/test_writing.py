"""Law: what is written is read back by pydicom, each voxel at its place in the patient."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from crossd.data import write_dicom_series
from crossd.errors import CrossDError
from pydicom.pixels import apply_modality_lut


def test_each_voxel_is_at_its_place(tmp_path, volume, voxel_to_world):
    files = write_dicom_series(tmp_path, volume, voxel_to_world)
    for k, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        pixels = dataset.pixel_array
        row, column = 5, 2  # PS3.3, equation C.7.6.2.1-1, in LPS
        orientation = np.array(dataset.ImageOrientationPatient, dtype=float)
        between_rows, between_columns = map(float, dataset.PixelSpacing)
        position = np.array(dataset.ImagePositionPatient, dtype=float)
        place = position + orientation[:3] * between_columns * column + orientation[3:] * between_rows * row
        np.testing.assert_allclose(place * [-1, -1, 1], (voxel_to_world @ [column, row, k, 1])[:3], atol=1e-4)
        assert pixels[row, column] == volume[column, row, k]


@pytest.mark.parametrize(("slope", "intercept"), [(None, None), (0.25, -300.0), (2.0, 0.0)])
def test_floats_keep_their_values_to_half_a_step(tmp_path, axial, slope, intercept):
    volume = np.random.default_rng(2).normal(0, 50, (5, 4, 3))
    files = write_dicom_series(tmp_path, volume, axial, slope=slope, intercept=intercept)
    for k, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        values = apply_modality_lut(dataset.pixel_array, dataset)
        assert np.abs(values.T - volume[:, :, k]).max() <= 0.51 * float(dataset.RescaleSlope)


def test_tags_and_identity(tmp_path, volume, axial):
    first = write_dicom_series(tmp_path / "a", volume, axial, patient_id="p1", description="T1", EchoTime=4.2)
    second = write_dicom_series(tmp_path / "b", volume, axial, patient_id="p1", PatientBirthDate=None, modality="CT")
    headers = [pydicom.dcmread(file) for file in (*first, *second)]
    assert len({header.SOPInstanceUID for header in headers}) == 14
    assert len({header.SeriesInstanceUID for header in headers}) == 2
    assert len({header.StudyInstanceUID for header in headers}) == 1
    assert (headers[0].SeriesDescription, headers[0].EchoTime, headers[0].Modality) == ("T1", 4.2, "MR")
    assert "PatientBirthDate" not in headers[-1]
    assert headers[-1].SOPClassUID.name == "CT Image Storage"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modality": "XX"}, r"`modality` must be one of 'CT', 'MR', 'PT'; got 'XX'. Choose"),
        ({"volume": np.zeros((3, 3))}, r"from a volume \(i, j, k\), got shape \(3, 3\). Pass 3 axes"),
        ({"volume": np.full((2, 2, 2), 70000)}, r"must fit into 16 bits, got 70000 to 70000. Pass a larger slope"),
        ({"voxel_to_world": np.array([[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])}, "perpendicular"),
    ],
    ids=["modality", "2D", "range", "shear"],
)
def test_errors(tmp_path, volume, axial, change, message):
    with pytest.raises(CrossDError, match=message):
        write_dicom_series(**{"folder": tmp_path, "volume": volume, "voxel_to_world": axial, **change})
