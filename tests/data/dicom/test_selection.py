"""Law: what is chosen is read, what is no scan is counted, and a choice that fits nothing says what there was."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from crossd.data import LoadImageVolumed, find_cases, find_series, preprocessing, read_volume, write_dicom_series
from crossd.data.dicom.selection import SeriesFilter
from crossd.errors import CrossDError


@pytest.fixture
def disk(tmp_path, volume, axial):
    """Two scans and a localizer of one patient, without endings, in nested folders."""
    for number, (description, modality, uid) in enumerate(
        (("t2_FLAIR ax", "MR", "1.2.3.1"), ("LUNG B70f", "CT", "1.2.3.2"), ("3-plane localizer", "MR", "1.2.3.3")), 1
    ):
        write_dicom_series(
            tmp_path / "disk" / "DICOM" / f"S{number}",
            volume + number,
            axial,
            description=description,
            modality=modality,
            series_uid=uid,
            SeriesNumber=number,
        )
    for file in (tmp_path / "disk").rglob("*.dcm"):
        file.rename(file.with_suffix(""))
    return tmp_path / "disk"


def names(items):
    return [item["image"][0].description for item in items if not item["error"]]


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (None, ["t2_FLAIR ax", "LUNG B70f"]),
        ("*flair*", ["t2_FLAIR ax"]),
        ("t2_flair ax", ["t2_FLAIR ax"]),
        ("ct", ["LUNG B70f"]),
        ("MR", ["t2_FLAIR ax"]),  # a localizer is not meant by its modality
        ("1.2.3.2", ["LUNG B70f"]),
        (["*FLAIR*", "1.2.3.2"], ["t2_FLAIR ax", "LUNG B70f"]),
        (2, ["LUNG B70f"]),
        ("*localizer", ["3-plane localizer"]),
        ("1.2.3.3", ["3-plane localizer"]),
        ("*", ["t2_FLAIR ax", "LUNG B70f", "3-plane localizer"]),
    ],
)
def test_filters(disk, series, expected):
    items = find_cases(disk, series)
    assert names(items) == expected
    if series is None:
        (skipped,) = [item for item in items if item["error"]]
        assert skipped["skipped"] is True
        assert skipped["case"] == "DICOM-S3-images_of_localizers"
        assert "No scan, skipped: images of localizers, 7 in '" in skipped["error"]
        assert "its SeriesDescription is '3-plane localizer'" in skipped["error"]


def test_a_filter_that_fits_nothing_lists_what_there_was(disk):
    message = (
        r"must fit a series: '\*T1\*', 'PT' fits none of the 3 there. Choose by description, modality or UID among: "
        r"MR 't2_FLAIR ax' no. 1 \(1.2.3.1\); CT 'LUNG B70f' no. 2 \(1.2.3.2\); MR '3-plane localizer'"
    )
    with pytest.raises(CrossDError, match=message):
        find_cases(disk, ["*T1*", "PT"])
    with pytest.raises(CrossDError, match=message):
        read_volume(disk, series=["*T1*", "PT"])


def test_a_folder_of_a_csv_row(disk, volume):
    (disk / "cases.csv").write_text("image\nDICOM\n")
    (item,) = find_cases(disk / "cases.csv", "*flair*")
    assert item["error"] is None
    image = LoadImageVolumed("image", series="*flair*")(item)["image"]
    np.testing.assert_array_equal(image[0], volume + 1)
    with pytest.raises(CrossDError, match=r"holds 2 .*Choose one by --series"):
        LoadImageVolumed("image")(item)
    assert "images of localizers, 7" in image_warnings(disk / "DICOM", "ct", disk)


def image_warnings(folder, series, disk):
    """What reading says of a folder with a scan and a localizer, without a filter."""
    shutil.rmtree(disk / "DICOM" / "S1")
    assert read_volume(folder, series=series).meta["warnings"] == ""
    return read_volume(folder).meta["warnings"]


@pytest.mark.parametrize("wrong", ["", [], [""], [None], True])
def test_wrong_filters(wrong):
    with pytest.raises(CrossDError, match=r"must be a text or a list of texts, got .* Examples: '\*flair\*'"):
        SeriesFilter(wrong)


def test_preprocessing_passes_it_on(disk):
    card = {"channels": ["x"], "plane": "axial", "spacing": None, "mean": 0.0, "std": 1.0}
    prepare = preprocessing({**card, "intensity": {"mode": "range", "lower": None, "upper": None}}, series="ct")
    assert prepare({"image": str(disk)})["image"].shape == (1, 7, 8, 9)


def test_a_single_localizer_that_is_named_is_read(disk, volume):
    (item,) = find_cases(next(Path(disk / "DICOM" / "S3").iterdir()))
    assert item["error"] is None


def test_a_scout_inside_its_series_is_left_out(tmp_path, volume, axial, edit):
    files = write_dicom_series(tmp_path, volume, axial, modality="CT", series_uid="1.2.3")
    scout = write_dicom_series(tmp_path / "scout", volume[..., :1] + 9, axial, modality="CT", series_uid="1.2.3")
    edit(scout[0], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SOPInstanceUID="1.2.9")
    (series,), (rejected,) = find_series([*files, *scout])
    assert series.shape == (9, 8, 7)
    assert "images of localizers, 1 in '" in rejected.reason
    assert "its ImageType says LOCALIZER" in rejected.reason


def other_object(file, sop_class, to, **elements):
    dataset = pydicom.dcmread(file)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    for keyword in ("Rows", "Columns", "PixelData"):
        if elements.get("pixels") is None:
            del dataset[keyword]
    for keyword, value in elements.items():
        if keyword != "pixels":
            setattr(dataset, keyword, value)
    dataset.save_as(to)


def test_everything_that_is_no_scan_is_counted_by_kind(tmp_path, volume, axial):
    files = write_dicom_series(tmp_path / "scan", volume, axial)
    other = tmp_path / "other"
    other.mkdir()
    root = "1.2.840.10008.5.1.4.1.1."
    for number in range(3):
        other_object(files[0], f"{root}88.22", other / f"report{number}")
    other_object(files[0], f"{root}88.59", other / "key")
    other_object(files[0], f"{root}11.1", other / "state")
    other_object(files[0], f"{root}104.1", other / "pdf")
    other_object(files[0], f"{root}481.3", other / "structures")
    other_object(files[0], f"{root}66", other / "raw")
    other_object(files[0], f"{root}66.4", other / "segmentation", pixels=True)
    other_object(files[0], f"{root}481.2", other / "dose", pixels=True)
    screenshot = {"pixels": True, "ImagePositionPatient": None, "ImageType": ["DERIVED", "SECONDARY"]}
    other_object(files[0], f"{root}7", other / "capture", **screenshot)
    other_object(
        files[0], f"{root}2", other / "fusion", pixels=True, SamplesPerPixel=3, PhotometricInterpretation="RGB"
    )
    items = find_cases(tmp_path)
    good = [item for item in items if not item["error"]]
    assert len(good) == 1
    skipped = [item["error"] for item in items if item["error"]]
    assert all(item.get("skipped") for item in items if item["error"])
    counted = sorted(error.split("skipped: ")[1].split(" in '")[0] for error in skipped)
    assert counted == [
        "encapsulated documents, 1",
        "images in colour, 1",
        "key object selections, 1",
        "objects without pixels, 1",
        "presentation states, 1",
        "radiotherapy doses, 1",
        "radiotherapy objects, 1",
        "secondary captures, 1",
        "segmentations, 1",
        "structured reports, 3",
    ]


def test_a_slice_that_lost_its_pixels_is_a_failure(tmp_path, volume, axial, edit):
    files = write_dicom_series(tmp_path, volume, axial)
    edit(files[3], ImagePositionPatient=None)
    items = find_cases(tmp_path)
    (wrong,) = [item for item in items if item["error"]]
    assert "skipped" not in wrong
    assert "must state its place in the patient: '000003.dcm'" in wrong["error"]


def test_a_report_that_is_named_is_a_failure(tmp_path, volume, axial):
    files = write_dicom_series(tmp_path, volume, axial)
    other_object(files[0], "1.2.840.10008.5.1.4.1.1.88.22", tmp_path / "report.dcm")
    (item,) = find_cases(tmp_path / "report.dcm")
    assert "skipped" not in item
    assert "needs pixels to be classified" in item["error"]
