"""Real scans of several scanners: what is known of each of them comes out."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from crossd.data import find_cases, preprocessing, read_volume
from crossd.data.dicom.pixels import read_pixels

pytestmark = pytest.mark.slow  # large scans

CARD = {"channels": ["image"], "plane": "axial", "spacing": [4.0, 4.0, 4.0], "mean": 0.0, "std": 1.0}
CARD |= {"intensity": {"mode": "percentile", "lower": 0.5, "upper": 99.5}}


@pytest.fixture
def dicom(shared_data):
    return shared_data / "dicom"


def test_ct_chest(dicom, by_gdcm):
    (item,) = find_cases(dicom / "ct_chest")
    (series,) = item["image"]
    assert (item["case"], item["warnings"], item["error"]) == ("ct_chest-2-LUNG_3.0_B70f", [], None)
    assert series.shape == (512, 512, 99)
    expected = [[-0.564453125, 0, 0, 143.2177734375], [0, -0.564453125, 0, 287.2177734375], [0, 0, 3, -288]]
    np.testing.assert_allclose(np.array(series.voxel_to_world)[:3], expected)
    voxels = by_gdcm(series.files)
    assert (voxels.min(), voxels.max()) == (-1024, 3071)  # Hounsfield units: air outside of the patient
    np.testing.assert_array_equal(voxels, read_pixels(series))


def test_the_head_lies_up_in_both_positions(dicom):
    """One subject, supine and prone, head elsewhere in the field: turning either over would fit worse at any offset."""
    items = find_cases(dicom / "mr_positions")
    assert [item["case"] for item in items] == ["HFP-2_t1_fl2d_sag-2-t1_fl2d_sag", "HFS-3_t1_fl2d_sag-3-t1_fl2d_sag"]
    prone, supine = (preprocessing(CARD)(item)["image"][0].numpy() for item in items)
    assert prone.shape == supine.shape

    def fit(one, other):
        """The highest correlation at any whole-voxel offset."""
        one, other = ((volume - volume.mean()) / volume.std() for volume in (one, other))
        return np.fft.ifftn(np.fft.fftn(one) * np.conj(np.fft.fftn(other))).real.max() / one.size

    upright = fit(prone, supine)
    assert upright > 0.75
    assert all(fit(np.flip(prone, axes), supine) < upright - 0.1 for axes in ((0,), (1,), (0, 1)))


def test_oblique_adc_map(dicom):
    (item,) = find_cases(dicom / "mr_prostate_adc")
    (series,) = item["image"]
    assert item["warnings"] == []  # though ImageOrientationPatient is rounded in two ways
    assert series.shape == (256, 256, 20)
    assert read_pixels(series).sum(dtype=np.float64) == 714203068
    np.testing.assert_allclose(np.linalg.norm(np.array(series.voxel_to_world)[:3, 2]), 3.0, atol=1e-3)


def test_a_tilted_head_with_two_spacings(dicom):
    (item,) = find_cases(dicom / "ct_head_tilted")
    assert item["image"][0].shape == (512, 512, 28)
    uneven, tilt = item["warnings"]
    assert "gaps of 1.08 to 7.00 mm, usually 4.00 mm, first after slice 14 of 28" in uneven
    assert "sheared by 18.5°" in tilt


def test_an_enhanced_object_is_four_volumes(dicom):
    raw, *items = find_cases(dicom / "enhanced")
    assert "'no_pixels_raw.dcm' (Raw Data Storage) has none" in raw["error"]
    assert [item["image"][0].split for item in items] == [
        "EffectiveEchoTime 2.3, FrameType M",
        "EffectiveEchoTime 2.3, FrameType P",
        "EffectiveEchoTime 4.6, FrameType M",
        "EffectiveEchoTime 4.6, FrameType P",
    ]
    magnitude, phase = read_volume(items[0]["image"]), read_volume(items[1]["image"])
    assert magnitude.shape == phase.shape == (1, 80, 80, 53)
    np.testing.assert_allclose(np.linalg.norm(magnitude.affine[:3, :3], axis=0), [3, 3, 3], atol=1e-3)
    assert magnitude.min() >= 0
    assert phase.min() == pytest.approx(-3142, abs=1)  # milliradians


@pytest.mark.parametrize("name", ["CT_pitch", "MR_Gd", "spm152"])
def test_nifti(shared_data, name):
    path = shared_data / "nifti" / f"{name}.nii.gz"
    image, reference = read_volume(path), nib.load(path)
    np.testing.assert_allclose(image[0], reference.get_fdata(), rtol=1e-6)
    np.testing.assert_allclose(image.affine, reference.affine, atol=1e-5)
    prepared = preprocessing(CARD)({"image": [str(path)]})["image"]
    assert 0 <= prepared.min() < prepared.max() <= 1
    extent = np.array(prepared.shape[1:]) * 4
    world = np.abs(reference.affine[:3, :3]) @ reference.shape  # an upper bound: that of the turned box
    assert (extent <= world[[2, 1, 0]] + 8).all()


def test_the_whole_tree_at_once(dicom):
    items = find_cases(dicom)
    assert len(items) == 1 + 1 + 2 + 1 + 9 + 4 + 1
    assert len({item["case"] for item in items}) == len(items)
    assert [item["source"].rsplit("/", 1)[1] for item in items if item["error"]] == ["no_pixels_raw.dcm"]
    patients = ("C3N-00247", "QMNx85rKkkg", "crlab", "QIN-PROSTATE-01-0001", "d2n_Philips")
    assert not any(patient in item["case"] for item in items for patient in patients)
