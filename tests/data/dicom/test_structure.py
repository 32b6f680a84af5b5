"""Law: no element of a file is made room for beyond what the file has, and what is whole passes."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pydicom
import pytest
from crossd.data import find_series, read_volume, write_dicom_series
from crossd.data.dicom import structure
from crossd.data.dicom.structure import BoundedReader

DEFLATED = "1.2.840.10008.1.2.1.99"


def outcome(file):
    series, rejected = find_series([file])
    return rejected[0].reason if rejected else len(series)


@pytest.fixture(params=["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"], ids=["plain", "RLE"])
def file(tmp_path, volume, axial, request):
    return write_dicom_series(tmp_path, volume, axial, transfer_syntax=request.param)[0]


@pytest.mark.parametrize("trailing", [bytes(100), b"\xfc\xff\xfc\xffOB\0\0\x04\0\0\0abcd"], ids=["zeros", "padding"])
def test_harmless_bytes_after_the_pixels_pass(file, trailing):
    file.write_bytes(file.read_bytes() + trailing)
    assert outcome(file) == 1


def test_noise_after_the_pixels(file):
    file.write_bytes(file.read_bytes() + b"\x01\x02noise and more noise")
    assert "must end after its last element: '" in outcome(file)


def test_an_element_after_the_pixels_that_is_too_long(file):
    file.write_bytes(file.read_bytes() + b"\xfc\xff\xfc\xffOB\0\0" + struct.pack("<I", 2**32 - 2) + b"abcd")
    assert "must end where it ends: those of '" in outcome(file)


def test_pixels_that_are_too_long(file):
    data = bytearray(file.read_bytes())
    place = data.rfind(b"\xe0\x7f\x10\x00")
    is_plain = data[place + 8 : place + 12] != b"\xff" * 4
    start = place + 8 if is_plain else data.rfind(b"\xfe\xff\x00\xe0") + 4
    data[start : start + 4] = struct.pack("<I", 2**32 - 2)
    file.write_bytes(data)
    assert "must end where it ends" in outcome(file)
    assert "bytes beyond. It is cut short or damaged: copy it again." in outcome(file)


def test_a_header_without_pixels(file):
    dataset = pydicom.dcmread(file)
    del dataset.PixelData
    dataset.save_as(file)
    said = outcome(file)
    assert "must hold its pixels after its header" in said or "must hold the pixels it declares" in said


def test_no_more_is_read_than_there_is(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    with BoundedReader(str(tmp_path / "a")) as file:
        assert file.read(2**50) == b"abc"
        assert file.read() == b""


def test_a_deflate_bomb(tmp_path, axial, monkeypatch):
    monkeypatch.setattr(structure, "ANY_SIZE", 2**16)
    volume = np.random.default_rng(0).integers(0, 1000, (64, 64, 2)).astype(np.int16)
    (file, *_) = write_dicom_series(tmp_path, volume, axial, transfer_syntax=DEFLATED)
    assert outcome(file) == 1
    data = file.read_bytes()
    end = 144 + struct.unpack("<I", data[140:144])[0]
    body = zlib.decompress(data[end:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    file.write_bytes(data[:end] + packer.compress(body + bytes(2**24)) + packer.flush())
    assert "A deflated DICOM file must unpack to what an image needs: '" in outcome(file)
    assert "It is damaged or no image: remove it." in outcome(file)


def test_names_that_are_not_utf8(tmp_path, volume, axial):
    """ITK, once loaded, would be asked first, and cannot open them."""
    import itk

    assert itk.GDCMImageIO
    files = write_dicom_series(tmp_path, volume, axial)
    files[0].rename(tmp_path / "sch\udce4del.dcm")
    (series,), rejected = find_series(tmp_path.iterdir())
    assert rejected == []
    np.testing.assert_array_equal(read_volume(series)[0], volume)


@pytest.mark.parametrize("kept", [10, 100, 142])
def test_fewer_pixels_than_the_matrix_has(tmp_path, volume, axial, kept):
    """The header is longer than what is missing, so the size of the file does not tell."""
    file = write_dicom_series(tmp_path, volume, axial)[0]
    dataset = pydicom.dcmread(file)
    dataset.PixelData = dataset.PixelData[:kept]
    dataset.save_as(file)
    assert f"PixelData (7FE0,0010) of '{file}' has {kept} bytes where its 1 × 8 × 9 pixels need 144" in outcome(file)


@pytest.mark.parametrize("hidden", ["preamble", "length"])
def test_a_deflate_bomb_that_misleads(tmp_path, axial, monkeypatch, hidden):
    """Where the deflated part begins is found as pydicom finds it, not by what a wrong length says."""
    monkeypatch.setattr(structure, "ANY_SIZE", 2**16)
    (file, *_) = write_dicom_series(tmp_path, np.zeros((8, 8, 2), dtype=np.int16), axial, transfer_syntax=DEFLATED)
    data = file.read_bytes()
    end = 144 + struct.unpack("<I", data[140:144])[0]
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    body = zlib.decompress(data[end:], -zlib.MAX_WBITS)
    head = bytearray(data[:end])
    if hidden == "preamble":
        head[:12] = b"\x02\x00\x00\x00UL\x04\x00\xf0\x00\x00\x00"
    else:
        head[140:144] = struct.pack("<I", end - 144 + 3)
    file.write_bytes(head + packer.compress(body + bytes(2**24)) + packer.flush())
    assert "A deflated DICOM file must unpack to what an image needs: '" in outcome(file)
