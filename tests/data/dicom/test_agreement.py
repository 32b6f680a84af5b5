"""Law: what a DICOM file says twice agrees, or the case says so; and values depend on the file alone."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pydicom
import pytest
from crossd.data import find_series, read_volume, write_dicom_series
from crossd.data.dicom import stored
from crossd.data.dicom.stored import stream_facts
from crossd.errors import CrossDError
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import iter_pixels
from pydicom.uid import UID

VOLUME = np.random.default_rng(0).integers(0, 2000, (40, 36, 4)).astype(np.int16)  # JPEG 2000 takes no less
RLE, JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
PLAIN = "1.2.840.10008.1.2.1"


@pytest.fixture
def files(tmp_path, axial):
    return write_dicom_series(tmp_path, VOLUME, axial, modality="CT", slope=1, intercept=0)


def told(folder):
    return read_volume(folder).meta["warnings"]


def refused(folder):
    with pytest.raises(CrossDError) as caught:
        read_volume(folder)
    return str(caught.value)


@pytest.fixture
def without_codecs(monkeypatch):
    """As where pydicom has no codec installed; what ITK was asked to decode."""
    asked = []
    by_itk = stored._by_itk

    def plain_only(dataset, **options):
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            raise RuntimeError("no codec")
        return iter_pixels(dataset, **options)

    def here(task, files, room, **arguments):
        assert task == "dicom.stored:decoded"
        return stored.decoded(**arguments, allocate=np.empty)

    def start():
        monkeypatch.setattr("pydicom.pixels.iter_pixels", plain_only)
        monkeypatch.setattr("crossd.data.dicom.pixels.decode", here)
        monkeypatch.setattr(stored, "_by_itk", lambda *told: asked.append(told) or by_itk(*told))
        return asked

    return start


class TestRescale:
    @pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
    @pytest.mark.parametrize(
        ("slope", "intercept", "expected", "said"),
        [
            (None, -50, VOLUME - 50, "RescaleIntercept (0028,1052) is stated without RescaleSlope (0028,1053), which"),
            (2, None, VOLUME * 2, "RescaleSlope (0028,1053) is stated without RescaleIntercept (0028,1052), which"),
            (0, -50, VOLUME - 50, "RescaleSlope (0028,1053) is 0, which would leave one value: it counts as 1."),
        ],
    )
    def test_defaults(self, tmp_path, files, edit, photometric, slope, intercept, expected, said):
        for file in files:
            edit(file, RescaleSlope=slope, RescaleIntercept=intercept, PhotometricInterpretation=photometric)
        np.testing.assert_array_equal(read_volume(tmp_path)[0], expected)
        assert said in told(tmp_path)

    @pytest.mark.slow
    def test_values_do_not_depend_on_what_was_loaded(self, tmp_path, files, edit):
        for file in files:
            edit(file, RescaleSlope=None, RescaleIntercept=-50)
        first = read_volume(tmp_path)[0]
        import itk

        assert itk.GDCMImageIO
        assert "itk.ITKIOGDCMPython" in sys.modules
        np.testing.assert_array_equal(read_volume(tmp_path)[0], first)

    @pytest.mark.parametrize("name", ["RescaleSlope", "RescaleIntercept"])
    @pytest.mark.parametrize("value", ["1\\2", "1e30", "-1e30"])
    def test_numbers_that_are_none(self, tmp_path, files, edit, name, value):
        for file in files:
            edit(file, **{name: value.split("\\")})
        assert "must hold 1 numbers" in refused(tmp_path) or "must keep grey levels apart" in refused(tmp_path)

    @pytest.mark.parametrize(("modality", "said"), [("CT", True), ("PT", False)])
    def test_slices_of_other_scales(self, tmp_path, files, edit, modality, said):
        for file in files:
            edit(file, Modality=modality)
        edit(files[1], RescaleSlope=3)
        assert (
            "Slices differ in RescaleSlope and RescaleIntercept: 3 of 4 have 1 and 0, another one 3 and 0"
            in told(tmp_path)
        ) == said

    def test_real_world_values_are_not_what_rescale_means(self, tmp_path, axial, by_gdcm):
        files = write_dicom_series(tmp_path, VOLUME, axial, slope=0.3, intercept=1.7)
        for file in files:
            dataset, mapping = pydicom.dcmread(file), pydicom.Dataset()
            mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 7.0, 70.0
            mapping.LUTLabel = mapping.LUTExplanation = "x"
            dataset.RealWorldValueMappingSequence = [mapping]
            dataset.save_as(file)
        np.testing.assert_array_equal(read_volume(tmp_path)[0], by_gdcm(files))


class TestBits:
    @pytest.mark.parametrize(
        "bits", [(16, 8, 15), (16, 16, 14), (16, 0, 15), (16, 17, 16), (8, 16, 15), (12, 12, 11), (16, 65535, 15)]
    )
    def test_that_do_not_fit(self, tmp_path, files, edit, bits):
        for file in files:
            edit(file, **dict(zip(("BitsAllocated", "BitsStored", "HighBit"), bits, strict=True)))
        assert (
            f"must fit one another: '{files[0]}' has BitsAllocated {bits[0]}, BitsStored {bits[1]}, HighBit {bits[2]}"
            in (refused(tmp_path))
        )

    def test_a_sign_that_is_none(self, tmp_path, files, edit):
        edit(files[0], PixelRepresentation=2)
        assert "PixelRepresentation (0028,0103) is 0 or 1" in find_series(files)[1][0].reason

    @pytest.mark.parametrize(
        ("syntax", "codec"), [(PLAIN, "pydicom"), *itertools.product((RLE, JPEG_LS, JPEG_2000), ("pydicom", "itk"))]
    )
    @pytest.mark.parametrize(("overlay", "signed"), [(True, 0), (False, 1)])
    def test_beyond_those_that_are_stored(self, tmp_path, axial, syntax, overlay, signed, codec, without_codecs):
        """Old scanners keep overlays in the upper bits, and PACS compress these with the rest."""
        pytest.importorskip("openjpeg")
        pytest.importorskip("jpeg_ls")
        if codec == "itk":
            without_codecs()
        volume = VOLUME - 60 * signed
        for file in write_dicom_series(tmp_path, volume, axial):
            dataset = pydicom.dcmread(file)
            with_overlay = np.frombuffer(dataset.PixelData, "<u2") & 0xFFF | 0x7000 * (
                np.arange(40 * 36) % 2 == 0
            ).astype("u2")
            dataset.PixelData = with_overlay.astype("<u2").tobytes()
            dataset.PixelRepresentation = 0  # to the encoder, which sees 16 bits
            if syntax != PLAIN:
                dataset.compress(syntax, encoding_plugin="pylibjpeg" if syntax == JPEG_2000 else "")
            dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, signed
            if overlay:
                dataset.add_new(0x60000102, "US", 12)
            dataset.save_as(file)
        np.testing.assert_array_equal(read_volume(tmp_path)[0], volume)
        assert ("Pixels have bits beyond BitsStored (0028,0101), which is 12, and no overlay is" in told(tmp_path)) != (
            overlay
        )

    def test_a_sign_that_is_repeated_is_none_of_them(self, tmp_path, axial, edit):
        for file in write_dicom_series(tmp_path, VOLUME - 60, axial):
            edit(file, BitsStored=12, HighBit=11)
        np.testing.assert_array_equal(read_volume(tmp_path)[0], VOLUME - 60)
        assert told(tmp_path) == ""


class TestStreams:
    @pytest.mark.parametrize("syntax", [JPEG_LS, JPEG_2000])
    def test_of_another_shape(self, tmp_path, axial, edit, syntax):
        """Rows and columns exchanged: as many pixels, and each in another place."""
        pytest.importorskip("openjpeg")
        pytest.importorskip("jpeg_ls")
        for file in write_dicom_series(tmp_path, VOLUME, axial, transfer_syntax=syntax):
            edit(file, Rows=40, Columns=36)
        assert "the compressed image has 36 × 40 pixels, and the header (40, 36)" in refused(tmp_path)

    def test_facts_of_real_streams(self, shared_data):
        """JPEG lossless, JPEG-LS and JPEG 2000 of one image, by four encoders."""
        for number, bits in ((5, 12), (6, 12), (7, 12), (8, 12), (9, 12)):
            dataset = pydicom.dcmread(shared_data / "dicom" / "transfer_syntax" / f"{number}.dcm")
            facts = stream_facts(get_frame(dataset.PixelData, 0, number_of_frames=1))
            assert facts[:2] == (384, 384)
            assert facts[2] >= bits

    @pytest.mark.parametrize("codec", ["pydicom", "itk"])
    def test_that_hide_a_sign(self, tmp_path, axial, codec, without_codecs):
        """12 bits of two's complement, said to be 16: 4096 − 60 is −60, whoever decodes."""
        pytest.importorskip("jpeg_ls")
        if codec == "itk":
            without_codecs()
        for file in write_dicom_series(tmp_path, VOLUME - 60, axial):
            dataset = pydicom.dcmread(file)
            dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
            dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") & 0xFFF).tobytes()
            dataset.compress(JPEG_LS)
            dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 1
            dataset.save_as(file)
        np.testing.assert_array_equal(read_volume(tmp_path)[0], VOLUME - 60)
        assert "The compressed image has 12 bits a pixel, the last one of which is taken for the sign" in told(tmp_path)


class TestLengths:
    @pytest.mark.parametrize(("rows", "columns"), [(35, 40), (36, 39), (1, 1)])
    def test_more_pixels_than_the_matrix_has(self, tmp_path, files, edit, rows, columns):
        for file in files:
            edit(file, Rows=rows, Columns=columns)
        surplus = 2 * (36 * 40 - rows * columns)
        assert f"PixelData (7FE0,0010) has {surplus} bytes more than its matrix needs: Rows" in told(tmp_path)

    def test_a_byte_that_makes_the_length_even_is_none_too_many(self, tmp_path, axial):
        volume = np.arange(27, dtype=np.int16).reshape(3, 3, 3)
        for file in write_dicom_series(tmp_path, volume, axial):
            dataset = pydicom.dcmread(file)
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype("u1").tobytes() + b"\0"
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
            dataset.PixelRepresentation = 0
            dataset.save_as(file)
        np.testing.assert_array_equal(read_volume(tmp_path)[0], volume)
        assert told(tmp_path) == ""

    @pytest.mark.parametrize("syntax", [RLE, JPEG_LS])
    @pytest.mark.parametrize(("streams", "said"), [(2, "has 2 frames, and 1 are declared"), (0, "has 0 of 1")])
    def test_frames_that_are_not_declared(self, tmp_path, axial, syntax, streams, said):
        pytest.importorskip("jpeg_ls")
        (file, *_) = write_dicom_series(tmp_path, VOLUME, axial, transfer_syntax=syntax)
        dataset = pydicom.dcmread(file)
        stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
        dataset.PixelData = encapsulate([stream] * streams) if streams else b"\xfe\xff\x00\xe0\0\0\0\0"
        dataset.save_as(file)
        series, rejected = find_series([file])
        assert said in (rejected[0].reason if rejected else series[0].warnings[-1])

    def test_a_frame_in_several_fragments_is_one(self, tmp_path, axial):
        pytest.importorskip("jpeg_ls")
        for file in write_dicom_series(tmp_path, VOLUME, axial, transfer_syntax=JPEG_LS):
            dataset = pydicom.dcmread(file)
            stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
            dataset.PixelData = encapsulate([stream], fragments_per_frame=3)
            dataset.save_as(file)
        np.testing.assert_array_equal(read_volume(tmp_path)[0], VOLUME)
        assert told(tmp_path) == ""


class TestPlaces:
    @pytest.mark.parametrize("place", ["1e30", "-1e30", "1e7"])
    def test_beyond_any_scanner(self, tmp_path, files, edit, place):
        for k, file in enumerate(files):
            edit(file, ImagePositionPatient=[place, 0, 3 * k])
        assert "A volume must lie where a scanner can reach" in refused(tmp_path)

    @pytest.mark.parametrize("spacing", [[1, 0.02], [0.02, 1], [60, 60]])
    def test_spacing_of_no_scan(self, tmp_path, files, edit, spacing):
        for file in files:
            edit(file, PixelSpacing=spacing)
        assert "which is odd for a scan: check its spacing" in told(tmp_path)


def test_grey_levels_that_are_said_to_be_colours(tmp_path, files, edit):
    for file in files:
        edit(file, PhotometricInterpretation="RGB")
    np.testing.assert_array_equal(read_volume(tmp_path)[0], VOLUME)
    assert "PhotometricInterpretation (0028,0004) is 'RGB', with one value a pixel: read as grey levels." in told(
        tmp_path
    )


@pytest.mark.parametrize(("mode", "upside_down"), [("0", False), ("1", True), ("2", True)])
def test_reversed_rows_of_a_research_sequence_are_told(tmp_path, files, mode, upside_down):
    """GE's epi_pepolar: no attribute of the standard says it, but two private ones do."""
    for file in files:
        dataset = pydicom.dcmread(file)
        block = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
        block.add_new(0x9C, "LO", "research/ABCD/epi_pepolar")
        block.add_new(0xB3, "DS", mode)
        dataset.save_as(file)
    read_volume(tmp_path)
    assert ("such a volume is upside down" in told(tmp_path)) == upside_down


def test_one_uid_of_two_patients(files, edit):
    for file in files[:2]:
        edit(file, PatientID="another")
    series, _ = find_series(files)
    assert len(series) == 2
    assert all("is that of 2 patients, who are kept apart" in item.warnings[0] for item in series)
    assert "another" not in repr([item.warnings for item in series])


def test_no_uid(files, edit):
    for file in files:
        edit(file, SeriesInstanceUID="")
    (series,), _ = find_series(files)
    assert "SeriesInstanceUID (0020,000E) is missing" in series.warnings[0]


def test_what_some_slices_say_is_counted(tmp_path, files, edit):
    edit(files[2], RescaleIntercept=None)
    assert "Of 1 slices: RescaleSlope (0028,1053) is stated without" in told(tmp_path)


def test_a_codec_that_only_itk_has(tmp_path, axial, without_codecs):
    """One series of plain and compressed slices: each is decoded by whoever can, and rescaled by one code."""
    pytest.importorskip("jpeg_ls")
    files = write_dicom_series(tmp_path, VOLUME, axial, slope=0.5, intercept=-3, modality="CT")
    for file in files[:2]:
        dataset = pydicom.dcmread(file)
        dataset.compress(UID(JPEG_LS))
        dataset.save_as(file)
    expected = read_volume(tmp_path)[0]
    np.testing.assert_array_equal(expected, VOLUME)
    asked = without_codecs()
    np.testing.assert_array_equal(read_volume(tmp_path)[0], expected)
    assert len(asked) == 2
