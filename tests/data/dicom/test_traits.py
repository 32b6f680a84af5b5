"""Law: a series that holds several volumes gives these, whole, and never single slices in their stead."""

from __future__ import annotations

import time

import numpy as np
import pytest
from crossd.data import find_series, write_dicom_series
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
    ],
)
def test_further_traits(parts, keyword, values):
    series, rejected = find_series(parts(*({keyword: value} for value in values), clock=None))
    assert rejected == []
    assert [item.shape[2] for item in series] == [7, 7]
    assert all(item.split.startswith(keyword) for item in series)


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
    names = dict.fromkeys(("series_uid", "patient_id", "modality", "description"), "x")
    place = {"orientation": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "position": (0.0, 0.0, 0.0), "spacing": (1.0, 1.0)}
    size = {"rows": 4, "columns": 4, "thickness": 1.0, "series_number": 1, "instance_number": number, "frame": None}
    other = {"photometric": "MONOCHROME2", "traits": (), "instance_uid": str(number)}
    return Slice(**{**names, **place, **size, **other, "path": f"/a/{number}", **given})


def test_many_repeats_take_no_time(monkeypatch):
    """8000 slices of which 600 were sent again: what is left is found in order, not by trying all."""
    from crossd.data.dicom import grouping

    slices = [made(number, position=(0.0, 0.0, float(number))) for number in range(8000)]
    slices += [made(8000 + number, position=(0.0, 0.0, float(number))) for number in range(600)]
    monkeypatch.setattr(grouping, "_read_headers", lambda files: [[item] for item in slices])
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
    monkeypatch.setattr(grouping, "_read_headers", lambda files: [[item] for item in slices])
    started = time.process_time()
    series, rejected = find_series([])
    assert time.process_time() - started < 1.5
    assert (len(series), rejected) == (600, [])
