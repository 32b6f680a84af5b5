"""Law: the order and the names of files do not matter, only where their slices lie; nothing is mixed up or dropped."""

from __future__ import annotations

import pickle
import random
import shutil

import itk
import numpy as np
import pydicom
import pytest
from crossd.data import find_series, write_dicom_series
from crossd.data.dicom import pixels as dicom_pixels
from crossd.data.dicom.headers import read_slices
from crossd.data.dicom.pixels import read_pixels
from crossd.errors import CrossDError


def test_order_names_and_instance_numbers_do_not_matter(only, tmp_path, volume, voxel_to_world):
    numbers = random.Random(3).sample(range(100), 7)
    files = write_dicom_series(tmp_path / "a", volume, voxel_to_world, instance_numbers=numbers)
    (tmp_path / "b").mkdir()
    renamed = [shutil.copy(file, tmp_path / "b" / f"{number:03}") for file, number in zip(files, numbers, strict=True)]
    series = only(renamed)
    voxels = read_pixels(series)
    matrix = np.array(series.voxel_to_world)
    assert series.shape == voxels.shape == (9, 8, 7)
    if np.linalg.det(voxel_to_world) * np.linalg.det(matrix) < 0:  # slices are sorted along the normal
        voxels, flip = voxels[:, :, ::-1], np.diag([1.0, 1, -1, 1])
        flip[2, 3] = 6
        matrix = matrix @ flip
    np.testing.assert_array_equal(voxels, volume)
    np.testing.assert_allclose(matrix, voxel_to_world, atol=1e-5)


def test_geometry_is_that_of_itk(only, tmp_path, volume, voxel_to_world):
    series = only(write_dicom_series(tmp_path, volume, voxel_to_world))
    image = itk.imread(list(series.files), pixel_type=itk.F)
    lps = np.eye(4)
    lps[:3, :3] = itk.array_from_matrix(image.GetDirection()) * np.array(itk.spacing(image))
    lps[:3, 3] = itk.origin(image)
    np.testing.assert_allclose(np.array(series.voxel_to_world), np.diag([-1, -1, 1, 1]) @ lps, atol=1e-4)


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"modality": "CT", "slope": 1.0, "intercept": -1024.0},
        {"slope": 0.5, "intercept": -300.0},
        {"modality": "PT", "slope": 0.25, "intercept": -250.0},
        {"transfer_syntax": "1.2.840.10008.1.2"},
        {"transfer_syntax": "1.2.840.10008.1.2.2"},
        {"transfer_syntax": "1.2.840.10008.1.2.1.99"},
        {"transfer_syntax": "1.2.840.10008.1.2.4.80"},
    ],
    ids=["signed", "CT", "slope", "PET", "implicit", "big-endian", "deflated", "JPEG-LS"],
)
def test_gdcm_agrees(only, by_gdcm, tmp_path, volume, axial, written):
    if "transfer_syntax" in written:
        pytest.importorskip("jpeg_ls" if written["transfer_syntax"].endswith("80") else "pydicom")
    series = only(write_dicom_series(tmp_path, volume, axial, **written))
    by_itk, by_pydicom = by_gdcm(series.files), read_pixels(series)
    np.testing.assert_array_equal(by_itk, by_pydicom)
    np.testing.assert_array_equal(by_itk, volume)
    assert by_itk.dtype == by_pydicom.dtype == np.float32


def test_a_slope_per_slice_is_honoured(only, by_gdcm, edit, tmp_path, volume, axial):
    files = write_dicom_series(tmp_path, volume, axial, modality="PT")
    for k, file in enumerate(files):
        edit(file, RescaleSlope=1 + k / 2, RescaleIntercept=k)
    series = only(files)
    expected = volume * (1 + np.arange(7) / 2) + np.arange(7)
    np.testing.assert_array_equal(by_gdcm(series.files), expected)
    np.testing.assert_array_equal(read_pixels(series), expected)


def test_monochrome1_keeps_hounsfield_units(only, by_gdcm, tmp_path, volume, axial):
    files = write_dicom_series(tmp_path, volume, axial, modality="CT", photometric="MONOCHROME1", intercept=-300)
    series = only(files)
    assert "MONOCHROME1: rescaled values are kept, though large ones are shown dark" in series.warnings[0]
    np.testing.assert_array_equal(read_pixels(series), volume)
    assert np.abs(by_gdcm(series.files) - volume).max() > 1000  # why ITK is not asked


def test_two_series_in_one_folder(tmp_path, volume, axial):
    files = write_dicom_series(tmp_path, volume, axial, description="T1", prefix="a", SeriesNumber=2)
    files += write_dicom_series(tmp_path, volume[:, :, :5] + 1, axial, description="T2", prefix="b", SeriesNumber=3)
    random.Random(0).shuffle(files)
    (one, two), rejected = find_series(files)
    assert rejected == []
    assert [(item.number, item.description, item.shape[2], item.split) for item in (one, two)] == [
        (2, "T1", 7, ""),
        (3, "T2", 5, ""),
    ]
    np.testing.assert_array_equal(read_pixels(two), volume[:, :, :5] + 1)


def test_one_uid_for_two_patients(tmp_path, volume, axial):
    files = write_dicom_series(tmp_path / "a", volume, axial, series_uid="1.2.3", patient_id="a")
    files += write_dicom_series(tmp_path / "b", volume + 1, axial, series_uid="1.2.3", patient_id="b")
    (one, two), _ = find_series(files)
    np.testing.assert_array_equal(read_pixels(one) + 1, read_pixels(two))


def test_a_series_over_several_folders_is_one(only, tmp_path, volume, axial):
    files = write_dicom_series(tmp_path / "IM0", volume, axial)
    (tmp_path / "IM1").mkdir()
    files[4:] = [shutil.move(file, tmp_path / "IM1" / file.name) for file in files[4:]]
    series = only(files)
    assert series.shape[2] == 7
    assert series.folder == str(tmp_path)


@pytest.mark.parametrize(
    "trait",
    ["EchoTime", "AcquisitionNumber", "TemporalPositionIdentifier", "ImageType", "TriggerTime", "DiffusionBValue"],
)
def test_volumes_at_the_same_place_are_split_and_named(edit, tmp_path, volume, axial, trait):
    values = {"ImageType": (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])}.get(trait, (2, 5))
    files = []
    for part, value in enumerate(values):
        files += write_dicom_series(
            tmp_path, volume + part, axial, series_uid="1.2.3", prefix=f"{part}-", **{trait: value}
        )
        for k, file in enumerate(files[-7:]):
            edit(file, SOPInstanceUID=f"1.2.3.{part}.{k}", AcquisitionTime=f"1200{part}{k}")  # differs by slice
    (one, two), rejected = find_series(files)
    decimals = dict.fromkeys(("EchoTime", "TriggerTime", "DiffusionBValue"), (2.0, 5.0))
    shown = {"ImageType": ("M", "P"), **decimals}.get(trait, (2, 5))
    assert rejected == []
    assert [one.split, two.split] == [f"{trait} {value}" for value in shown]
    assert one.warnings == (f"This is '{trait} {shown[0]}', one of 2 volumes in its series.",)
    np.testing.assert_array_equal(read_pixels(one), volume)
    np.testing.assert_array_equal(read_pixels(two), volume + 1)


def test_volumes_between_one_anothers_slices_are_split(edit, tmp_path, volume, axial):
    """The patient moved by 1 mm between two acquisitions: no position is there twice, and yet it is two volumes."""
    moved = axial + np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    files = []
    for number, matrix in enumerate((axial, moved), 1):
        files += write_dicom_series(
            tmp_path, volume + number, matrix, series_uid="1.2.3", prefix=str(number), AcquisitionNumber=number
        )
        for k, file in enumerate(files[-7:]):
            edit(file, SOPInstanceUID=f"1.2.3.{number}.{k}")
    (one, two), rejected = find_series(files)
    assert rejected == []
    assert [one.split, two.split] == ["AcquisitionNumber 1", "AcquisitionNumber 2"]
    np.testing.assert_array_equal(read_pixels(one) + 1, read_pixels(two))


def test_parts_that_follow_one_another_stay_one_volume(only, edit, tmp_path, volume, axial):
    """Two spacings in two acquisitions, as in a scan of the head: nothing lies between anything."""
    files = write_dicom_series(tmp_path, volume, axial)
    for k, file in enumerate(files):
        height = 3 * k if k < 4 else 9 + 5 * (k - 3)
        edit(file, ImagePositionPatient=[-12, 34, 56 + height], AcquisitionNumber=1 if k < 4 else 2)
    assert only(files).shape[2] == 7


def test_a_localizer_is_split_by_plane_and_matrix(tmp_path, volume, axial):
    coronal = axial @ np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    files = write_dicom_series(tmp_path, volume[..., :3], axial, series_uid="1.2.3", prefix="a")
    files += write_dicom_series(tmp_path, volume[:5, :, 3:5], coronal, series_uid="1.2.3", prefix="b")
    series, rejected = find_series(files)
    assert rejected == []
    assert sorted(item.split for item in series) == ["axial 9×8", "coronal 5×8"]
    assert sorted(item.shape for item in series) == [(5, 8, 2), (9, 8, 3)]


def test_cosines_rounded_differently_are_one_orientation(only, edit, tmp_path, volume, axial):
    files = write_dicom_series(tmp_path, volume, axial)
    edit(files[3], ImageOrientationPatient=[0.99999, 0.0005, 0, -0.0005, 0.99999, 0])
    assert only(files).shape[2] == 7


def test_copies_of_a_file_are_left_out(only, tmp_path, volume, axial):
    files = write_dicom_series(tmp_path, volume, axial)
    files += [shutil.copy(file, file.with_name(f"copy-{file.name}")) for file in files[:3]]
    series = only(files)
    assert series.shape[2] == 7
    assert "3 slices are there twice (same SOPInstanceUID), for instance 'copy-000000.dcm'" in series.warnings[0]


def test_a_slice_sent_again_is_left_out(only, edit, tmp_path, axial):
    volume = np.arange(4 * 3 * 12).reshape(4, 3, 12)
    files = write_dicom_series(tmp_path, volume, axial)
    files.append(shutil.copy(files[5], tmp_path / "again.dcm"))
    edit(files[-1], SOPInstanceUID="1.2.3.4", InstanceNumber=50)
    series = only(files)
    assert series.shape[2] == 12
    assert str(files[5]) in series.files
    assert "1 of 13 slices lie where another one lies already" in series.warnings[0]


def test_a_missing_slice_is_named(only, tmp_path, volume, axial):
    files = write_dicom_series(tmp_path, volume, axial)
    series = only(files[:3] + files[4:])
    assert series.shape[2] == 6
    assert series.warnings == (
        "Slices are not evenly spaced: gaps of 3.00 to 6.00 mm, usually 3.00 mm, first after slice 3 of 6 (tolerance "
        "20%); probably 1 missing. The volume is interpolated between them, every 3.00 mm.",
    )
    np.testing.assert_allclose(np.array(series.voxel_to_world)[:3, 2], [0, 0, 3.6], atol=1e-6)


def test_even_spacing_tolerates_one_decimal_in_positions(only, edit, tmp_path, volume, axial):
    files = write_dicom_series(tmp_path, volume, axial @ np.diag([1, 1, 1 / 3, 1]))
    for k, file in enumerate(files):
        edit(file, ImagePositionPatient=[-12, 34, round(56 + k * 1.04, 1)])
    assert only(files).warnings == ()


def test_a_tilted_gantry_is_noticed_and_in_the_affine(only, tmp_path, volume, tilted):
    series = only(write_dicom_series(tmp_path, volume, tilted))
    np.testing.assert_allclose(series.voxel_to_world, tilted, atol=1e-5)
    assert "Slices are sheared by 16.7° (gantry tilt)" in series.warnings[0]


def test_slices_off_their_line_are_noticed(only, edit, tmp_path, volume, axial):
    files = write_dicom_series(tmp_path, volume, axial)
    position = [float(value) for value in pydicom.dcmread(files[3]).ImagePositionPatient]
    edit(files[3], ImagePositionPatient=[position[0] + 9.0, *position[1:]])
    assert "they are displaced in their plane by up to 9.0 mm" in only(files).warnings[0]


def test_one_slice_is_a_thin_volume(only, edit, tmp_path, volume, axial):
    files = write_dicom_series(tmp_path, volume[..., :1], axial)
    series = only(files)
    np.testing.assert_allclose(series.voxel_to_world, axial, atol=1e-5)
    np.testing.assert_array_equal(read_pixels(series), volume[..., :1])
    assert series.warnings == ("The series has one slice only.",)
    edit(files[0], SliceThickness=None)
    assert only(files).warnings[0] == "The only slice states no thickness (0018,0050): 1 mm is assumed."


def test_series_travel_between_processes(only, tmp_path, volume, axial):
    series = only(write_dicom_series(tmp_path, volume, axial))
    assert pickle.loads(pickle.dumps(series)) == series
    assert hash(series) == hash(pickle.loads(pickle.dumps(series)))


def truncate(file, keep):
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])


def reason(files):
    """Why the one rejected file or series was rejected."""
    _, (rejected,) = find_series(files)
    return rejected.reason


def test_reasons(edit, tmp_path, volume, axial):
    def fresh():
        return write_dicom_series(tmp_path, volume, axial)[3:4]

    files = fresh()
    edit(files[0], Rows=None)
    assert "needs pixels to be classified: '000003.dcm' (MR Image Storage) has none. Nothing to do" in reason(files)
    files = fresh()
    edit(files[0], Rows=2000, Columns=2000)
    assert "1 × 2000 × 2000 pixels need 8000000. It is cut short: copy it again." in reason(files)
    files = fresh()
    edit(files[0], SamplesPerPixel=3, PhotometricInterpretation="RGB")
    assert "one value per voxel: '000003.dcm' is in colour (RGB, MR Image Storage). Convert it" in reason(files)
    files = fresh()
    edit(files[0], SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4")
    assert "must be an image: '000003.dcm' is a segmentation." in reason(files)
    files = fresh()
    edit(files[0], ImagePositionPatient=None)
    assert "must state its place in the patient: '000003.dcm' (MR) lacks ImagePositionPatient" in reason(files)
    files = fresh()
    edit(files[0], NumberOfFrames=1, ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    assert "must hold two perpendicular unit vectors" in reason(files)
    files = fresh()
    files[0].write_bytes(files[0].read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.1.2.1\0"))
    assert "000003.dcm' has the TransferSyntaxUID (0002,0010) 1.2.840.99999.1.2.1. Copy" in reason(files)
    files = fresh()
    files[0].write_bytes(b"")
    assert "named as DICOM must be DICOM: " in reason(files)
    assert "(0 bytes) has no SOPClassUID" in reason(files)
    files = fresh()
    files[0].write_bytes(files[0].read_bytes()[:140] + bytes(range(255)) * 2)
    assert "Copy the file again, or remove it." in reason(files)


def test_volumes_that_nothing_tells_apart_are_refused(edit, tmp_path, volume, axial):
    files = write_dicom_series(tmp_path, volume, axial, series_uid="1.2.3", prefix="a")
    files += write_dicom_series(tmp_path, volume, axial, series_uid="1.2.3", prefix="b")
    for k, file in enumerate(files):
        edit(file, SOPInstanceUID=f"1.2.3.{k}")
    assert "has 7 of 14 slices where another one lies already, and no echo, time, b-value" in reason(files)


def test_a_folder_tells_apart_what_tags_do_not(edit, tmp_path, volume, axial):
    files = write_dicom_series(tmp_path / "pre", volume, axial, series_uid="1.2.3")
    files += write_dicom_series(tmp_path / "post", volume + 1, axial, series_uid="1.2.3")
    for k, file in enumerate(files):
        edit(file, SOPInstanceUID=f"1.2.3.{k}")
    series, rejected = find_series(files)
    assert rejected == []
    assert [item.split for item in series] == ["folder post", "folder pre"]


@pytest.mark.parametrize("keep", [0.98, 0.5], ids=["pixels", "header"])
def test_truncated_files_are_never_read_as_whole(tmp_path, axial, keep):
    files = write_dicom_series(tmp_path, np.zeros((40, 40, 3), dtype=np.int16), axial)
    truncate(files[1], keep)
    series, rejected = find_series(files)
    assert [item.path for item in rejected] == [str(files[1])] or series[0].shape[2] == 3
    if not rejected:
        with pytest.raises(CrossDError, match=r"DICOM pixels must decode: those of '.*000001.dcm' do not .*Copy the"):
            read_pixels(series[0])


def test_files_that_change_meanwhile(only, tmp_path, volume, axial):
    series = only(write_dicom_series(tmp_path, volume, axial))
    write_dicom_series(tmp_path, volume[:5], axial)
    with pytest.raises(CrossDError, match=r"Files must not change .* had \(9, 8, 7\) voxels, and now it has \(5, 8,"):
        read_pixels(series)


def test_plain_slices_run_no_codec(only, by_gdcm, tmp_path, volume, axial, monkeypatch):
    series = only(write_dicom_series(tmp_path, volume, axial))

    def refuse(*_, **__):
        raise AssertionError("the other process")

    monkeypatch.setattr(dicom_pixels, "decode", refuse)
    np.testing.assert_array_equal(read_pixels(series), by_gdcm(series.files))


@pytest.mark.parametrize("target", ["/nowhere/x.img", "x.img"])
def test_links_to_nowhere_and_in_a_circle_end_no_run(tmp_path, target):
    """Beside a header whose voxels they were, and under a name of DICOM."""
    (tmp_path / "x.img").symlink_to(target)
    (tmp_path / "y.dcm").symlink_to(tmp_path / "y.dcm" if target == "x.img" else target)
    assert read_slices(tmp_path / "x.img") == []
    with pytest.raises(CrossDError, match=r"A DICOM file must have a readable header: '.*y\.dcm' has not \("):
        read_slices(tmp_path / "y.dcm")
