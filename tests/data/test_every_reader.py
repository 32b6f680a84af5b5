"""Law: one volume gives the same values by every reader, in whatever order files are read, and whatever is loaded.

Volumes are made from seeds: shape, type, orientation, scale. Each is written in every form that holds it exactly, and
all of them are read in an order that is shuffled, twice.
"""

from __future__ import annotations

import gzip
import random

import nibabel as nib
import numpy as np
import pydicom
import pytest
from crossd.data import read_volume, write_dicom_series

SYNTAXES = {
    "explicit": "1.2.840.10008.1.2.1",
    "implicit": "1.2.840.10008.1.2",
    "big-endian": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "jpeg-2000": "1.2.840.10008.1.2.4.90",
}


def made(seed):
    """A volume of 16 bits, its affine with axes of any order and side, and a scale that float32 holds exactly."""
    generator = np.random.default_rng(seed)
    low, high = (-2000, 2000) if generator.random() < 0.5 else (0, 4000)
    stored = generator.integers(low, high, (*generator.integers(36, 44, 2), generator.integers(2, 6))).astype(np.int16)
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, generator.permutation(3)] * generator.choice([-1, 1], 3)
    affine[:3, :3] *= generator.choice([0.5, 1.25, 2.0, 3.0], 3)
    affine[:3, 3] = generator.integers(-200, 200, 3)
    slope, intercept = float(generator.choice([1, 0.5, 2])), float(generator.choice([0, -1024, 3.5]))
    return stored, affine, slope, intercept


def written(folder, seed):
    """Path, values and affine of each form of a volume."""
    import itk

    stored, affine, slope, intercept = made(seed)
    scaled = (stored * slope + intercept).astype(np.float32)
    for kind, names in (
        (nib.Nifti1Image, ("a.nii", "a.nii.gz")),
        (nib.Nifti2Image, ("b.nii", "b.nii.gz")),
        (nib.Nifti1Pair, ("c.hdr",)),
    ):
        for name in names:
            image = kind(stored, affine)
            image.header.set_data_dtype(np.int16)
            nib.save(image, folder / name)
            yield folder / name, stored, affine
    head = bytearray((folder / "a.nii").read_bytes())
    head[112:120] = np.array([slope, intercept], "<f4").tobytes()  # scl_slope, scl_inter
    (folder / "scaled.nii.gz").write_bytes(gzip.compress(bytes(head)))
    yield folder / "scaled.nii.gz", scaled, affine
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = itk.image_from_array(np.ascontiguousarray(stored.T))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(lps[:3, :3] / spacing)))
    for suffix in ("nrrd", "nhdr", "mha", "mhd"):
        for packed in (False, True):
            path = folder / f"{suffix}{int(packed)}.{suffix}"
            itk.imwrite(image, str(path), compression=packed)
            yield path, stored, affine
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    flipped = normal @ affine[:3, 2] < 0  # slices are sorted along the normal
    place = affine @ np.diag([1.0, 1, -1, 1]) if flipped else affine.copy()
    place[:3, 3] += affine[:3, 2] * (stored.shape[2] - 1) * flipped
    values = scaled[..., ::-1] if flipped else scaled
    for name, syntax in SYNTAXES.items():
        options = {"slope": slope, "intercept": intercept, "modality": "CT", "transfer_syntax": syntax}
        write_dicom_series(folder / name, scaled, affine, **options)
        yield folder / name, values, place
    for photometric in ("MONOCHROME1", "MONOCHROME2"):  # and a rescale of which one half is not stated
        options = {"slope": 1, "intercept": intercept, "modality": "CT", "photometric": photometric}
        for file in write_dicom_series(folder / photometric, stored + np.floor(intercept), affine, **options):
            dataset = pydicom.dcmread(file)
            del dataset.RescaleSlope
            dataset.RescaleIntercept = intercept
            dataset.save_as(file)
            stored_values = dataset.pixel_array
        assert stored_values.dtype.kind in "iu"
        whole = read_stored(folder / photometric) + np.float32(intercept)
        yield folder / photometric, whole, place


def read_stored(folder):
    """Stored values by pydicom alone, slices sorted along the normal by their names or against them."""
    slices = [pydicom.dcmread(file) for file in sorted(folder.iterdir())]
    rows, columns = np.array(slices[0].ImageOrientationPatient).reshape(2, 3)
    slices.sort(key=lambda item: float(np.cross(rows, columns) @ np.array(item.ImagePositionPatient, dtype=float)))
    return np.stack([item.pixel_array.T for item in slices], axis=-1)


@pytest.mark.parametrize("seed", range(4))
def test_every_reader_in_any_order(tmp_path, seed):
    pytest.importorskip("openjpeg")
    pytest.importorskip("jpeg_ls")
    forms = list(written(tmp_path, seed))
    assert len(forms) == 23
    order = forms * 2
    random.Random(seed).shuffle(order)
    for path, values, affine in order:
        image = read_volume(path)
        np.testing.assert_array_equal(image[0], values, err_msg=str(path))
        np.testing.assert_allclose(image.affine, affine, atol=1e-4, err_msg=str(path))
        unsaid = [note for note in image.meta["warnings"].splitlines() if "which counts as" not in note]
        assert [note for note in unsaid if "MONOCHROME1: rescaled values are kept" not in note] == [], path
