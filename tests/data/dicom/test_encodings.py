"""One known array in every form in which files hold it: the sum is known beforehand."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from crossd.data import read_volume, write_dicom_series
from crossd.data.dicom.pixels import read_pixels
from pydicom.encaps import encapsulate
from pydicom.uid import UID

COLUMN, ROW, SLICE = np.meshgrid(np.arange(40), np.arange(36), np.arange(3), indexing="ij")
KNOWN = (100 * SLICE + 7 * COLUMN + 3 * ROW).astype(np.int16)  # 0 … 578
SUM = 40 * 36 * 100 * (0 + 1 + 2) + 7 * 36 * 3 * sum(range(40)) + 3 * 40 * 3 * sum(range(36))
HTJ2K = {
    "lossless": "1.2.840.10008.1.2.4.201",
    "lossless-RPCL": "1.2.840.10008.1.2.4.202",
    "any": "1.2.840.10008.1.2.4.203",
}


def test_the_sum():
    assert SUM == 1_248_480 == KNOWN.sum()


def total(folder):
    return read_volume(folder).sum().item()


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"])
def test_run_lengths_jpeg_ls_and_jpeg_2000(tmp_path, axial, uid):
    pytest.importorskip("openjpeg")
    pytest.importorskip("jpeg_ls")
    write_dicom_series(tmp_path, KNOWN, axial, transfer_syntax=uid)
    assert total(tmp_path) == SUM


def as_htj2k(files, codestreams, uid):
    for file, codestream in zip(files, codestreams, strict=True):
        dataset = pydicom.dcmread(file)
        dataset.PixelData = encapsulate([codestream])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = UID(uid)
        dataset.save_as(file)


@pytest.mark.parametrize("uid", HTJ2K.values(), ids=HTJ2K)
def test_htj2k_encoded_by_openjph(tmp_path, axial, root, uid):
    """Codestreams of `KNOWN` that OpenJPH wrote (tests/golden/README.md), since nothing that is installed can."""
    pytest.importorskip("openjpeg")
    golden = np.load(root / "tests" / "golden" / "known_array_htj2k.npz")
    files = write_dicom_series(tmp_path, KNOWN, axial)
    as_htj2k(files, [golden[f"slice_{k}"].tobytes() for k in range(3)], uid)
    assert total(tmp_path) == SUM
    np.testing.assert_array_equal(read_volume(tmp_path)[0], KNOWN)


@pytest.mark.parametrize("bits", [12, 16])
def test_signed_of_fewer_bits(tmp_path, axial, bits, edit):
    for file in write_dicom_series(tmp_path, KNOWN - 200, axial):
        edit(file, BitsStored=bits, HighBit=bits - 1)
    assert total(tmp_path) == SUM - 200 * KNOWN.size


@pytest.mark.parametrize(("bits", "signed"), [(12, False), (16, False), (16, True)])
def test_monochrome1_of_grey_values_is_inverted(tmp_path, axial, bits, signed, edit, only):
    volume = KNOWN - 200 * signed
    files = write_dicom_series(
        tmp_path, volume, axial, photometric="MONOCHROME1", RescaleSlope=None, RescaleIntercept=None
    )
    for file in files:
        edit(file, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=int(signed))
    white = -1 if signed else (1 << bits) - 1
    np.testing.assert_array_equal(read_pixels(only(files)), white - volume.astype(int))
    assert total(tmp_path) == white * KNOWN.size - volume.sum(dtype=int)
    assert "without a rescale: grey values are inverted" in read_volume(tmp_path).meta["warnings"]


def pad(files, value, limit=None, **elements):
    """Declare pixel padding, whose value representation pydicom does not know by itself."""
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
        if limit is not None:
            dataset.add_new("PixelPaddingRangeLimit", "SS" if value < 0 else "US", limit)
        for keyword, element in elements.items():
            setattr(dataset, keyword, element)
        dataset.save_as(file)


CORNER = (COLUMN < 5) & (ROW < 4)  # 20 voxels a slice that were not scanned
FOUND = int(KNOWN[~CORNER].min())


@pytest.mark.parametrize(
    ("padding", "limit", "intercept"), [(-2000, None, 0), (-2000, -1990, 0), (-1976, None, -24), (63536, None, 0)]
)
def test_padding_becomes_background(tmp_path, axial, padding, limit, intercept):
    volume = np.where(CORNER, -2000, KNOWN)
    if limit is not None:
        volume[CORNER] = np.tile(np.arange(-2000, -1990), 6)
    files = write_dicom_series(tmp_path, volume, axial, slope=1, intercept=intercept, modality="CT")
    pad(files, padding, limit, PixelRepresentation=1)
    assert total(tmp_path) == KNOWN[~CORNER].sum() + CORNER.sum() * FOUND
    assert FOUND == 12
    (warning,) = read_volume(tmp_path).meta["warnings"].splitlines()
    assert warning.startswith("1.4% of the voxels are padding (PixelPaddingValue -2000")
    assert warning.endswith("they are set to the smallest value inside, 12.")


def test_padding_that_is_declared_but_not_there(tmp_path, axial):
    pad(write_dicom_series(tmp_path, KNOWN, axial), 5000)
    assert total(tmp_path) == SUM
    assert read_volume(tmp_path).meta["warnings"] == ""


def test_every_slice_has_its_own_padding(tmp_path, axial):
    files = write_dicom_series(tmp_path, np.where(CORNER, 999 + SLICE, KNOWN), axial)
    for k in range(2):
        pad(files[k : k + 1], 999 + k)
    image = read_volume(tmp_path)[0]
    corners = [image[:5, :4, k].unique().tolist() for k in range(3)]
    assert corners == [[12.0], [12.0], [1001.0]]


@pytest.mark.parametrize("error", [0, 4, 40])
@pytest.mark.parametrize("padding", [-2000, 4000], ids=["below", "above"])
def test_padding_after_lossy_compression(tmp_path, axial, error, padding):
    """Values of padding are changed like all others, and more so beside an edge."""
    rng = np.random.default_rng(0)
    scanned = rng.integers(0, 900, (32, 32, 4))
    corner = np.zeros((32, 32, 4), dtype=bool)
    corner[:9], corner[:, :9] = True, True
    stored = np.where(corner, padding, scanned) + rng.integers(-error, error + 1, scanned.shape)
    stored[8, 9:] += (100 if padding < 0 else -100) if error == 40 else 0  # ringing
    pad(
        write_dicom_series(tmp_path, stored, axial, slope=1, intercept=0),
        *(padding, None),
        PixelRepresentation=1,
        LossyImageCompression="01",
    )
    image = read_volume(tmp_path)
    read = image[0].numpy()
    np.testing.assert_array_equal(read[~corner], stored[~corner])
    assert len(np.unique(read[corner])) == 1
    assert abs(read[corner][0] - stored[~corner].min()) < 50
    assert image.meta["warnings"].startswith(f"{corner.mean():.1%} of the voxels are padding")


def test_padding_amid_scanned_values_has_no_tolerance(tmp_path, axial):
    stored = np.arange(-500, 500).reshape(10, 10, 10)
    pad(
        write_dicom_series(tmp_path, stored, axial, slope=1, intercept=0),
        *(7, None),
        PixelRepresentation=1,
        LossyImageCompression="01",
    )
    assert int((read_volume(tmp_path)[0].numpy() != stored).sum()) == 1


def test_nothing_but_padding(tmp_path, axial):
    pad(write_dicom_series(tmp_path, np.full((4, 4, 3), 7), axial), 7)
    assert total(tmp_path) == 7 * 48
