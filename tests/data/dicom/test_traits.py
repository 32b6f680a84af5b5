"""Law: a series that holds several volumes gives these, whole, and never single slices in their stead."""

from __future__ import annotations

import time

import numpy as np
import pydicom
import pytest
from crossd.data import find_series, write_dicom_series
from crossd.data.dicom.non_scans import Label
from crossd.data.dicom.pixels import read_pixels
from crossd.data.dicom.slices import Slice


@pytest.fixture
def parts(tmp_path, volume, axial, edit):
    """Write volumes of one series that differ by some elements and by a time of each slice."""

    def write(*elements, clock="AcquisitionTime"):
        files = []
        for number, given in enumerate(elements):
            made = write_dicom_series(
                tmp_path, volume + number, axial, series_uid="1.2.3", prefix=f"{number}-", **given
            )
            for k, file in enumerate(made):
                at = {} if clock is None else {clock: 120000 + 100 * number + 7 * k}
                edit(file, SOPInstanceUID=f"1.2.3.{number}.{k}", **{name: str(value) for name, value in at.items()})
            files += made
        return files

    return write


def test_two_traits_and_a_time_of_each_slice(parts, volume):
    """The time alone tells all slices apart, and would make each of them a volume."""
    elements = [
        {"EchoTime": echo, "TemporalPositionIdentifier": position} for position in (1, 2) for echo in (2.5, 5.0)
    ]
    series, rejected = find_series(parts(*elements))
    assert rejected == []
    assert [item.split for item in series] == [
        "EchoTime 2.5, TemporalPositionIdentifier 1",
        "EchoTime 2.5, TemporalPositionIdentifier 2",
        "EchoTime 5.0, TemporalPositionIdentifier 1",
        "EchoTime 5.0, TemporalPositionIdentifier 2",
    ]
    for item, number in zip(series, (0, 2, 1, 3), strict=True):
        np.testing.assert_array_equal(read_pixels(item), volume + number)


@pytest.mark.parametrize("clock", ["TriggerTime", "AcquisitionTime"])
def test_phases_in_turn(parts, volume, clock):
    """A cine stack: each slice has trigger times of its own."""
    series, rejected = find_series(parts({}, {}, {}, clock=clock))
    assert rejected == []
    assert [item.split for item in series] == [f"{clock} no. {turn}" for turn in (1, 2, 3)]
    for number, item in enumerate(series):
        np.testing.assert_array_equal(read_pixels(item), volume + number)


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("SequenceName", ("ep_b0", "ep_b1000")),
        ("FlipAngle", ("2.0", "15.0")),
        ("InversionTime", ("300.0", "900.0")),
        ("DiffusionGradientOrientation", ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])),
        ("ConvolutionKernel", ("B30f", "B70f")),
        ("KVP", ("80", "140")),
        ("NominalPercentageOfCardiacPhase", (30.0, 70.0)),
    ],
)
def test_further_traits(parts, keyword, values):
    series, rejected = find_series(parts(*({keyword: value} for value in values), clock=None))
    assert rejected == []
    assert [item.shape[2] for item in series] == [7, 7]
    assert all(item.split.startswith(keyword) for item in series)


def order(files, edit, numbers):
    for file, number in zip(files, numbers, strict=True):
        edit(file, InstanceNumber=int(number))
    return files


@pytest.mark.parametrize("turned", [False, True], ids=["volume by volume", "position by position"])
def test_where_nothing_but_their_order_tells_repeats_apart(parts, volume, edit, turned):
    """GE's fMRI series and field maps."""
    numbers = np.arange(21).reshape(7, 3).T.ravel() if turned else np.arange(21)
    series, rejected = find_series(order(parts({}, {}, {}, clock=None), edit, numbers + 1))
    assert rejected == []
    assert [item.split for item in series] == [f"InstanceNumber no. {turn}" for turn in (1, 2, 3)]
    for number, item in enumerate(series):
        np.testing.assert_array_equal(read_pixels(item), volume + number)
        assert "Nothing but the order of their InstanceNumber (0020,0013) tells some of these apart." in item.warnings


def test_a_last_volume_that_was_not_finished(parts, volume, edit):
    files = order(parts({}, {}, {}, clock=None), edit, range(1, 22))[:18]
    series, rejected = find_series(files)
    assert rejected == []
    assert [item.split for item in series][2] == "InstanceNumber no. 3, 4 of 7 slices"
    assert [item.shape[2] for item in series] == [7, 7, 4]


def test_whole_seconds_make_no_volumes_of_parts(parts, volume, edit):
    """Each second has the slices of half a volume and more: neither a volume nor as telling as the turn."""
    files = parts({}, {}, {}, clock=None)
    for number, file in enumerate(files):
        edit(file, AcquisitionTime=f"{120000 + number // 5}", InstanceNumber=number + 1)
    series, rejected = find_series(files)
    assert rejected == []
    assert [item.shape[2] for item in series] == [7, 7, 7]
    np.testing.assert_array_equal(read_pixels(series[1]), volume + 1)


def offset(tmp_path, volume, axial, thickness, **given):
    """Two stacks of one series, the second half a slice further on."""
    moved = axial.copy()
    moved[2, 3] += 1.5
    files = []
    for number, matrix in enumerate((axial, moved)):
        tags = {name: values[number] for name, values in given.items()}
        numbers = range(1 + 7 * number, 8 + 7 * number)
        files += write_dicom_series(
            *(tmp_path, volume + number, matrix),
            **{"series_uid": "1.2.3", "prefix": f"{number}-", "SliceThickness": thickness},
            **{"instance_numbers": numbers, "SOPInstanceUID": None, **tags},
        )
    return files


@pytest.mark.parametrize("given", [{"AcquisitionNumber": (1, 2)}, {}], ids=["trait", "order"])
def test_two_acquisitions_offset_by_half_a_slice(tmp_path, volume, axial, given):
    """Together they lie evenly, but each is whole by itself: slices are as thick as they lie apart in one of them."""
    series, rejected = find_series(offset(tmp_path, volume, axial, 3.0, **given))
    assert rejected == []
    assert [item.split for item in series] == [f"{next(iter(given), 'InstanceNumber no.')} {turn}" for turn in (1, 2)]
    for number, item in enumerate(series):
        np.testing.assert_array_equal(read_pixels(item), volume + number)


def test_two_acquisitions_that_only_the_times_of_slices_tell_apart(tmp_path, volume, axial, edit):
    files = offset(tmp_path, volume, axial, 3.0)
    for number, file in enumerate(files):
        edit(file, AcquisitionTime=f"{120000 + number}", InstanceNumber=1 + number % 7)
    series, rejected = find_series(files)
    assert rejected == []
    assert [item.split for item in series] == ["AcquisitionTime no. 1", "AcquisitionTime no. 2"]


def test_slices_acquired_in_two_passes_are_one_volume(tmp_path, volume, axial, only):
    assert only(offset(tmp_path, volume, axial, 1.5, AcquisitionNumber=(1, 2))).shape[2] == 14


@pytest.mark.parametrize(
    ("group", "maker", "element", "vr", "values"),
    [
        (0x0019, "SIEMENS MR HEADER", 0x0C, "IS", (0, 1000)),
        (0x0043, "GEMS_PARM_01", 0x39, "IS", ([10**9, 8, 0, 0], [10**9 + 1000, 8, 0, 0])),
        (0x2001, "Philips Imaging DD 001", 0x03, "FL", (0.0, 1000.0)),
    ],
)
def test_b_values_where_makers_put_them(parts, group, maker, element, vr, values):
    files = parts({}, {}, clock=None)
    for number, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        dataset.private_block(group, maker, create=True).add_new(element, vr, values[number // 7])
        dataset.save_as(file)
    series, rejected = find_series(files)
    assert rejected == []
    assert [float(item.split.removeprefix("DiffusionBValue ")) for item in series] == [0, 1000]


def test_copies_are_of_one_object_and_echo(parts, edit):
    """Careless anonymisation gives one SOPInstanceUID to all."""
    files = parts({"EchoTime": 2.5}, {"EchoTime": 5.0})
    for file in files:
        edit(file, SOPInstanceUID="1.2.3.4")
    series, rejected = find_series(files)
    assert rejected == []
    assert [item.shape[2] for item in series] == [7, 7]


def test_grey_scales_of_two_kinds_are_not_mixed(parts, edit):
    files = parts({}, {"RescaleSlope": None, "RescaleIntercept": None}, clock=None)
    for file in files[7:]:
        edit(file, PhotometricInterpretation="MONOCHROME1")
    series, rejected = find_series(files)
    assert rejected == []
    assert sorted(item.inverted for item in series) == [False, True]


def made(number, **given):
    """What the header of a slice says."""
    names = {"label": Label("x", "x", "x", 1), "patient_id": "x"}
    place = {"orientation": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "position": (0.0, 0.0, 0.0), "spacing": (1.0, 1.0)}
    size = {"rows": 4, "columns": 4, "thickness": 1.0, "instance_number": number, "frame": None}
    other = {"photometric": "MONOCHROME2", "traits": (), "instance_uid": str(number)}
    return Slice(**{**names, **place, **size, **other, "path": f"/a/{number}", **given})


def test_many_repeats_take_no_time(monkeypatch):
    """8000 slices of which 600 were sent again: what is left is found in order, not by trying all."""
    from crossd.data.dicom import grouping

    slices = [made(number, position=(0.0, 0.0, float(number))) for number in range(8000)]
    slices += [made(8000 + number, position=(0.0, 0.0, float(number))) for number in range(600)]
    monkeypatch.setattr(grouping, "_read", lambda files, wanted: (slices, []))
    started = time.process_time()
    (series,), rejected = find_series([])
    assert time.process_time() - started < 2
    assert rejected == []
    assert series.files == tuple(f"/a/{number}" for number in range(8000))
    assert "600 of 8600 slices lie where another one lies already" in series.warnings[0]


def test_many_orientations_take_no_time(monkeypatch):
    """As a stack that is turned around an axis has them: each slice is compared with all groups before it."""
    from crossd.data.dicom import grouping

    turns = np.linspace(0, np.pi, 600, endpoint=False)
    slices = [
        made(number, orientation=(float(np.cos(turn)), float(np.sin(turn)), 0.0, 0.0, 0.0, 1.0), thickness=3.0)
        for number, turn in enumerate(turns)
    ]
    monkeypatch.setattr(grouping, "_read", lambda files, wanted: (slices, []))
    started = time.process_time()
    series, rejected = find_series([])
    assert time.process_time() - started < 1.5
    assert (len(series), rejected) == (600, [])
