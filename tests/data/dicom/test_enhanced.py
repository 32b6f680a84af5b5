"""An enhanced object's frames have positions and slopes of their own, and one object may hold several volumes."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from crossd.data import find_series, write_dicom_series
from crossd.data.dicom.pixels import read_pixels
from crossd.errors import CrossDError
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames


def enhanced(tmp_path, volume, echoes=1):
    """A multi-frame object whose frames stand in reverse, with a slope of their own, `echoes` per position."""
    template = write_dicom_series(tmp_path / "single", volume, np.eye(4), slope=1, intercept=0, RescaleSlope=None)
    dataset = pydicom.dcmread(template[0])
    frames, pixels = [], []
    for k in reversed(range(volume.shape[2])):
        for echo in range(echoes):
            frame, place, echo_time = Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = [0, 0, 2.5 * k]
            echo_time.EffectiveEchoTime = 10.0 * (echo + 1)
            frame.PlanePositionSequence, frame.MREchoSequence = [place], [echo_time]
            transformation = Dataset()
            transformation.RescaleSlope, transformation.RescaleIntercept, transformation.RescaleType = 1 + k, echo, "US"
            frame.PixelValueTransformationSequence = [transformation]
            frames.append(frame)
            pixels.append(volume[:, :, k].T)
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [2.0, 1.5], 2.0
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleIntercept"):
        del dataset[keyword]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
    dataset.NumberOfFrames = len(frames)
    dataset.PixelData = np.stack(pixels).astype("<i2").tobytes()
    dataset.save_as(tmp_path / "enhanced.dcm")
    return tmp_path / "enhanced.dcm"


def test_frames_of_an_enhanced_object(tmp_path, volume):
    (series,), rejected = find_series([enhanced(tmp_path, volume)])
    assert rejected == []
    assert series.frames == tuple(reversed(range(7)))
    np.testing.assert_allclose(series.voxel_to_world, np.diag([-1.5, -2.0, 2.5, 1]))
    np.testing.assert_array_equal(read_pixels(series), volume * (1.0 + np.arange(7)))


def test_echoes_of_an_enhanced_object(tmp_path, volume):
    (one, two), _ = find_series([enhanced(tmp_path, volume, echoes=2)])
    assert [one.split, two.split] == ["EffectiveEchoTime 10.0", "EffectiveEchoTime 20.0"]
    np.testing.assert_array_equal(read_pixels(one) + 1, read_pixels(two))


def one(**elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return [dataset]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("FrameAcquisitionNumber", lambda n: {"FrameContentSequence": one(FrameAcquisitionNumber=n)}),
        ("TemporalPositionIndex", lambda n: {"FrameContentSequence": one(TemporalPositionIndex=n)}),
        ("InversionTimes", lambda n: {"MRModifierSequence": one(InversionTimes=[100.0 * n])}),
        ("FlipAngle", lambda n: {"MRTimingAndRelatedParametersSequence": one(FlipAngle=2.0 * n)}),
        ("ConvolutionKernel", lambda n: {"CTReconstructionSequence": one(ConvolutionKernel=f"B{n}")}),
        ("dimension 1", lambda n: {"FrameContentSequence": one(DimensionIndexValues=[n, 1])}),
        (
            "DiffusionGradientOrientation",
            lambda n: {
                "MRDiffusionSequence": one(
                    DiffusionGradientDirectionSequence=one(DiffusionGradientOrientation=[float(n), 0.0, 0.0])
                )
            },
        ),
        ("InstanceNumber no.", lambda n: {}),  # nothing but the order of frames
    ],
)
def test_what_tells_frames_at_one_place_apart(tmp_path, volume, name, made):
    file = enhanced(tmp_path, volume, echoes=2)
    dataset = pydicom.dcmread(file)
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        del frame.MREchoSequence
        for sequence, items in made(1 + number % 2).items():
            setattr(frame, sequence, items)
    dataset.save_as(file)
    series, rejected = find_series([file])
    assert rejected == []
    assert len(series) == 2
    assert all(item.split.startswith(f"{name} ") for item in series)
    np.testing.assert_array_equal(read_pixels(series[0]) + 1, read_pixels(series[1]))


@pytest.mark.slow
def test_no_other_frames_are_decoded_than_those_of_the_volume(tmp_path, volume):
    """An object of a hundred volumes would be decoded a hundred times; and damage stays with its own volume."""
    file = enhanced(tmp_path, volume, echoes=2)
    dataset = pydicom.dcmread(file)
    dataset.compress("1.2.840.10008.1.2.5")
    frames = list(generate_frames(dataset.PixelData, number_of_frames=14))
    frames[3] = b"\x63\0\0\0" + frames[3][4:]  # of the second echo, with more segments than there are
    dataset.PixelData = encapsulate(frames)
    dataset.save_as(file)
    (one, two), _ = find_series([file])
    np.testing.assert_array_equal(read_pixels(one), volume * (1.0 + np.arange(7)))
    with pytest.raises(CrossDError, match=r"DICOM pixels must decode: those of '.*enhanced.dcm' do not"):
        read_pixels(two)


def test_frames_that_are_not_described(tmp_path, volume):
    file = enhanced(tmp_path, volume)
    dataset = pydicom.dcmread(file)
    del dataset.PerFrameFunctionalGroupsSequence[-1]
    dataset.save_as(file)
    series, (rejected,) = find_series([file])
    assert series == []
    assert f"A multi-frame object must describe each frame: '{file}' describes 6 of 7. It is damaged" in rejected.reason


def change(file, edit_frame):
    dataset = pydicom.dcmread(file)
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        edit_frame(frame, dataset)
    dataset.save_as(file)


def test_an_intercept_alone_in_a_functional_group(tmp_path, volume):
    file = enhanced(tmp_path, volume, echoes=1)

    def without_slope(frame, _):
        del frame.PixelValueTransformationSequence[0].RescaleSlope
        frame.PixelValueTransformationSequence[0].RescaleIntercept = -50

    change(file, without_slope)
    (series,), _ = find_series([file])
    np.testing.assert_array_equal(read_pixels(series), volume - 50)
    assert "RescaleIntercept (0028,1052) is stated without RescaleSlope (0028,1053)" in series.warnings[-1]


def test_what_is_stated_per_frame_and_for_all(tmp_path, volume):
    """A functional group is the frame's or shared, and never both; what both say alike is no contradiction."""
    file = enhanced(tmp_path, volume)

    def own_spacing(frame, dataset):
        measures = Dataset()
        measures.PixelSpacing, measures.SliceThickness = [2.0, 1.5], 2.0
        frame.PixelMeasuresSequence = [measures]

    change(file, own_spacing)
    (series,), _ = find_series([file])
    assert not [note for note in series.warnings if "stated twice" in note]

    def other_spacing(frame, dataset):
        dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [4.0, 3.0]

    change(file, other_spacing)
    (series,), _ = find_series([file])
    np.testing.assert_allclose(np.diag(series.voxel_to_world)[:2], [-1.5, -2.0])
    assert [note for note in series.warnings if note.startswith("PixelSpacing is stated twice and differs")]


def test_more_frames_than_are_declared(tmp_path, volume):
    file = enhanced(tmp_path, volume)
    dataset = pydicom.dcmread(file)
    dataset.NumberOfFrames = 5
    del dataset.PerFrameFunctionalGroupsSequence[5:]
    dataset.save_as(file)
    (series,), _ = find_series([file])
    assert series.shape[2] == 5
    assert [note for note in series.warnings if "bytes more than its matrix needs: Rows, Columns" in note]
    dataset.compress("1.2.840.10008.1.2.5")
    frames = list(generate_frames(dataset.PixelData, number_of_frames=5))
    dataset.PixelData = encapsulate([*frames, *frames[:2]])
    dataset.save_as(file)
    (series,), _ = find_series([file])
    assert [note for note in series.warnings if "has 7 frames, and 5 are declared" in note]
