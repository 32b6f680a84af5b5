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


CAPTURE, PRIVATE, XA = "1.2.840.10008.5.1.4.1.1.7", "1.3.46.670589.11.0.0.12.2", "1.2.840.10008.5.1.4.1.1.12.1"
NOWHERE = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None}
SCREEN = {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"SOPClassUID": PRIVATE, "PixelData": None, **NOWHERE}, "objects without pixels"),
        ({"SOPClassUID": PRIVATE, "PixelData": None}, "objects without pixels"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.2", "PixelData": None}, "objects without pixels"),  # a spectrum
        ({"SOPClassUID": PRIVATE, **NOWHERE}, "private objects"),
        ({"SOPClassUID": CAPTURE, **NOWHERE}, "secondary captures"),
        ({"SOPClassUID": CAPTURE}, "secondary captures"),
        ({"SOPClassUID": f"{CAPTURE}.2", "NumberOfFrames": 1, **NOWHERE}, "secondary captures"),
        ({"SOPClassUID": XA, **NOWHERE}, "projections"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1", **NOWHERE}, "ultrasound images"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.1", **NOWHERE}, "photographs and videos"),
        ({**SCREEN, **NOWHERE}, "screenshots"),
        (SCREEN, "screenshots"),
        ({"ImageType": ["DERIVED", "SECONDARY", "OTHER", "CT_SOM5 PROT"], **NOWHERE}, "screenshots"),
        ({"SeriesDescription": "Dose Report", **NOWHERE}, "screenshots"),
    ],
)
def test_what_is_no_scan_never_makes_a_run_fail(tmp_path, volume, axial, changes, kind):
    """One or many of them, at one place or several."""
    write_dicom_series(tmp_path / "scan", volume, axial)
    for file in write_dicom_series(tmp_path / "other", volume, axial):
        dataset = pydicom.dcmread(file)
        for keyword, value in changes.items():
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.save_as(file)
    other, scan = find_cases(tmp_path)
    assert scan["error"] is None
    assert other["skipped"]
    assert f"No scan, skipped: {kind}, 7 in '" in other["error"]


def test_a_secondary_capture_that_is_named_is_read(tmp_path, volume, axial):
    files = write_dicom_series(tmp_path, volume, axial, SOPClassUID=CAPTURE, description="from NIfTI")
    (item,) = find_cases(tmp_path, series="from*")
    np.testing.assert_array_equal(read_volume(item["image"])[0], volume)
    assert find_cases(files[0])[0]["error"] is None


@pytest.mark.parametrize("damage", [{"ImageOrientationPatient": None}, {"PixelSpacing": None}])
def test_a_derived_series_that_lost_part_of_its_place_is_a_failure(tmp_path, volume, axial, edit, damage):
    for file in write_dicom_series(tmp_path, volume, axial, ImageType=["DERIVED", "SECONDARY", "MPR"]):
        edit(file, **damage)
    assert not any(item.get("skipped") for item in find_cases(tmp_path))


def palette(file, red, green=None, blue=None, segmented=False):
    dataset = pydicom.dcmread(file)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    dataset.PixelRepresentation = 0
    del dataset.RescaleSlope, dataset.RescaleIntercept
    for colour, values in (("Red", red), ("Green", green), ("Blue", blue)):
        values = red if values is None else values
        dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [len(values), 0, 16])
        data = values.astype("<u2").tobytes()
        if segmented:  # one segment of discrete values
            data = np.array([0, len(values)], dtype="<u2").tobytes() + data
        dataset.add_new(f"{'Segmented' * segmented}{colour}PaletteColorLookupTableData", "OW", data)
    dataset.save_as(file)


@pytest.mark.parametrize("segmented", [False, True])
def test_a_grey_palette_is_looked_up(tmp_path, axial, segmented):
    """Index 0 is white here: numbers of colours are no grey values."""
    indices = np.random.default_rng(0).integers(0, 256, (5, 4, 3))
    grey = np.arange(256)[::-1] * 257
    for file in write_dicom_series(tmp_path, indices, axial, slope=1, intercept=0):
        palette(file, grey, segmented=segmented)
    (item,) = find_cases(tmp_path)
    np.testing.assert_array_equal(read_volume(item["image"])[0], grey[indices])


def test_a_palette_of_colours_is_skipped(tmp_path, axial):
    grey = np.arange(256) * 257
    for number, file in enumerate(write_dicom_series(tmp_path, np.ones((5, 4, 3)), axial, slope=1, intercept=0)):
        palette(file, grey, *((grey[::-1],) if number else (None, grey // 2)))
    (item,) = find_cases(tmp_path)
    assert "skipped: images in colour, 3 in" in item["error"]
    assert "is in colour (PALETTE COLOR, MR Image Storage)" in item["error"]


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("meta", [True, False], ids=["meta information", "none"])
def test_slices_without_a_preamble_are_known_by_their_content(tmp_path, volume, axial, implicit, meta, caplog):
    """As TrioTims and GE's consoles store them: no `DICM`, no suffix; beside a note that is none."""
    (tmp_path / "disk").mkdir()
    for number, file in enumerate(write_dicom_series(tmp_path / "made", volume, axial)):
        dataset = pydicom.dcmread(file)
        path = tmp_path / "disk" / f"IM_{number:04}"
        if meta:
            dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2{'' if implicit else '.1'}"
            dataset.save_as(path, enforce_file_format=True, implicit_vr=implicit, little_endian=True)
            path.write_bytes(path.read_bytes()[132:])
        else:
            del dataset.file_meta
            dataset.save_as(path, implicit_vr=implicit, little_endian=True)
    (tmp_path / "disk" / "notes").write_text("\x08\0 no DICOM at all")
    (tmp_path / "disk" / "more").write_bytes(b"\x08\0\x05\0\x0a\0\0\0" + bytes(300))
    caplog.set_level("INFO")
    (item,) = find_cases(tmp_path / "disk")
    np.testing.assert_array_equal(read_volume(item["image"])[0], volume)
    assert "2 of 9 files are no images and left out, for instance '" in caplog.text


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
