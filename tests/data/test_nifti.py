"""Laws: millimetres whatever the unit, one volume of many as if it were alone, no more voxels than a file can hold."""

from __future__ import annotations

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest
from crossd.data import read_volume
from crossd.data.declared_sizes import TAIL
from crossd.data.reading import read_volume_file
from crossd.errors import CrossDError


def edit(path, offset, form, *values):
    packed = path.suffix == ".gz"
    data = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    data[offset : offset + struct.calcsize(form)] = struct.pack(form, *values)
    path.write_bytes((gzip.compress if packed else bytes)(bytes(data)))


def refused(path, volume=None):
    with pytest.raises(CrossDError) as caught:
        read_volume_file(path, volume)
    return str(caught.value)


@pytest.mark.parametrize(("unit", "factor", "name"), [("meter", 1000, "metres"), ("micron", 0.001, "micrometres")])
def test_units_become_millimetres(tmp_path, volume, voxel_to_world, unit, factor, name):
    stored = np.diag([1 / factor, 1 / factor, 1 / factor, 1]) @ voxel_to_world
    image = nib.Nifti1Image(volume, stored)
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "a.nii")
    read = read_volume_file(tmp_path / "a.nii")
    np.testing.assert_allclose(read.voxel_to_world, voxel_to_world, rtol=1e-5, atol=1e-4)
    assert len(read.warnings) == 1
    assert (
        f"The file's unit is {name} (xyzt_units): read as millimetres, it spans 13.5 × 16 × 21 mm" in read.warnings[0]
    )


@pytest.mark.parametrize(("spacing", "warned"), [(0.001, True), (0.04, True), (1.0, False), (60, True), (1000, True)])
def test_a_size_that_no_scan_has_is_said(tmp_path, volume, spacing, warned):
    nib.save(nib.Nifti1Image(volume, np.diag([spacing, 1, 1, 1])), tmp_path / "a.nii")
    (*said,) = read_volume(tmp_path / "a.nii").meta["warnings"].splitlines()
    assert len(said) == warned
    if warned:
        assert f"spans {9 * spacing:.4g} × 8 × 7 mm, in voxels of {spacing:.4g} × 1 × 1 mm" in said[0]
        assert said[0].endswith("check its spacing, and its unit (millimetres, where none is stated).")


def test_a_damaged_qform_does_not_hide_a_good_sform(tmp_path, volume, axial):
    image = nib.Nifti1Image(volume, axial)
    image.set_qform(axial, code=1)
    image.set_sform(axial, code=2)
    nib.save(image, tmp_path / "a.nii")
    assert read_volume_file(tmp_path / "a.nii").warnings == ()
    edit(tmp_path / "a.nii", 256, "<3f", 2.0, 2.0, 2.0)
    read = read_volume_file(tmp_path / "a.nii")
    np.testing.assert_allclose(read.voxel_to_world, axial)
    assert "The qform of the file is damaged (w2 should be positive" in read.warnings[0]


def test_what_nibabel_corrects_is_said(tmp_path, volume, axial):
    nib.save(nib.Nifti1Image(volume, axial), tmp_path / "a.nii")
    edit(tmp_path / "a.nii", 254, "<h", 77)
    (said, other) = read_volume_file(tmp_path / "a.nii").warnings
    assert "states no orientation" in said
    assert "The header of the file has faults, for which usual values are taken: sform_code 77 not valid" in other


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".hdr"])
@pytest.mark.parametrize("scaled", [False, True])
def test_each_volume_of_a_4d_file_is_the_one_that_was_put_in(tmp_path, volume, axial, suffix, scaled):
    several = np.stack([volume, volume + 1000, volume * 2], -1)
    kind = nib.Nifti1Pair if suffix == ".hdr" else nib.Nifti1Image
    image = kind(several, axial)
    if scaled:
        image.header.set_data_dtype(np.int16)
        image = kind(several * 0.5, axial, image.header)
    path = tmp_path / f"a{suffix}"
    nib.save(image, path)
    expected = nib.load(path).get_fdata(dtype=np.float32)
    for number in range(3):
        for read in (read_volume_file(path, number), read_volume_file(f"{path}@{number}", 1)):
            np.testing.assert_array_equal(read.voxels, expected[..., number])
            np.testing.assert_allclose(read.voxel_to_world, axial)
    assert "Choose one of its 3 volumes, counted from 0: --volume 0 for every 4D file of a run, or 'a" in refused(path)
    assert f"chosen by its number, 0 to 2: volume 3 of '{path}' was asked for. Choose" in refused(path, 3)


def test_a_3d_file_has_one_volume_whatever_is_chosen(tmp_path, volume, axial):
    nib.save(nib.Nifti1Image(volume, axial), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_volume_file(tmp_path / "a.nii", 5).voxels, volume)
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6, 2, 3), dtype=np.int16), axial), tmp_path / "b.nii")
    assert "has 5, of sizes (4, 5, 6, 2, 3). Write the volume that is meant as a file of its own" in refused(
        tmp_path / "b.nii", 0
    )


@pytest.mark.parametrize("suffix", [".hdr", ".hdr.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair, nib.Spm99AnalyzeImage])
def test_pairs_by_either_name(tmp_path, volume, kind, suffix):
    path = tmp_path / f"a{suffix}"
    affine = np.diag([-1.5, 2, 3, 1])
    nib.save(kind(volume, affine), path)
    by_image = read_volume_file(str(path).replace(".hdr", ".img"))
    np.testing.assert_array_equal(by_image.voxels, volume)
    np.testing.assert_array_equal(read_volume_file(path).voxels, volume)
    (tmp_path / path.name.replace(".hdr", ".img")).unlink()
    assert "A pair needs both files" in refused(path)


def test_nifti_2_and_big_endian(tmp_path, volume, axial):
    nib.save(nib.Nifti2Image(volume, axial), tmp_path / "a.nii")
    nib.save(nib.Nifti1Image(volume, axial, nib.Nifti1Header(endianness=">")), tmp_path / "b.nii.gz")
    for name in ("a.nii", "b.nii.gz"):
        read = read_volume_file(tmp_path / name)
        np.testing.assert_array_equal(read.voxels, volume)
        np.testing.assert_allclose(read.voxel_to_world, axial)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_more_voxels_than_the_file_can_hold(tmp_path, axial, suffix):
    """The declared size is refused before anything of that size is made."""
    path = tmp_path / f"a{suffix}"
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), dtype=np.int16), axial), path)
    edit(path, 40, "<4h", 3, 1000, 1000, 1000)
    assert "is truncated or damaged (it declares 2000000352 bytes and has " in refused(path)
    assert (", which cannot unpack to more than" in refused(path)) == (suffix == ".nii.gz")


@pytest.mark.parametrize("offset", [-1.0, 1e9, float("nan"), float("inf")])
def test_an_offset_that_is_none(tmp_path, volume, axial, offset):
    nib.save(nib.Nifti1Image(volume, axial), tmp_path / "a.nii")
    edit(tmp_path / "a.nii", 108, "<f", offset)
    assert "The voxels of a NIfTI file begin after its header" in refused(tmp_path / "a.nii")


def test_a_gzip_bomb(tmp_path, volume, axial):
    nib.save(nib.Nifti1Image(volume, axial), tmp_path / "a.nii")
    whole = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "padded.nii.gz").write_bytes(gzip.compress(whole + bytes(5000)))
    np.testing.assert_array_equal(read_volume_file(tmp_path / "padded.nii.gz").voxels, volume)
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(whole + bytes(2 * TAIL), compresslevel=1))
    assert f"goes on for more than {TAIL} bytes after the {len(whole)} it declares" in refused(tmp_path / "bomb.nii.gz")


def test_what_has_no_grid(tmp_path):
    from nibabel.cifti2 import Cifti2Image, ScalarAxis, SeriesAxis

    axes = (ScalarAxis(["one"]), SeriesAxis(0, 1, 5))
    Cifti2Image(np.zeros((1, 5), dtype=np.float32), axes).to_filename(tmp_path / "a.dscalar.nii")
    assert "is a Cifti2 file, which has not. Map it to a volume first." in refused(tmp_path / "a.dscalar.nii")


def test_the_voxels_of_a_pair_are_no_link_out_of_its_folder(tmp_path):
    (tmp_path / "in").mkdir()
    nib.save(nib.Nifti1Pair(np.ones((3, 4, 5), np.int16), np.eye(4)), tmp_path / "in" / "a.hdr")
    (tmp_path / "in" / "a.img").rename(tmp_path / "secret.img")
    (tmp_path / "in" / "a.img").symlink_to(tmp_path / "secret.img")
    assert "names 'a.img', outside of its folder" in refused(tmp_path / "in" / "a.hdr")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("kind", "place", "form", "least"), [(nib.Nifti1Image, 108, "<f", 352), (nib.Nifti2Image, 168, "<q", 544)]
)
def test_voxels_that_are_said_to_begin_in_the_header(tmp_path, volume, axial, suffix, kind, place, form, least):
    path = tmp_path / f"a{suffix}"
    nib.save(kind(volume, axial), path)
    edit(path, place, form, 0)
    read = read_volume_file(path)
    np.testing.assert_array_equal(read.voxels, volume)
    assert read.warnings == (
        f"The voxels are said to begin at byte 0 (vox_offset), which is in the header: {least} is taken.",
    )
    edit(path, place, form, 16)
    assert "vox offset 16 too low" in refused(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("axis", "size"), [(1, 8), (2, 2), (3, 1)])
def test_fewer_voxels_are_declared_than_there_are(tmp_path, volume, axial, suffix, axis, size):
    path = tmp_path / f"a{suffix}"
    nib.save(nib.Nifti1Image(volume, axial), path)
    edit(path, 40 + 2 * axis, "<h", size)
    surplus = 2 * (volume.size - volume.size // volume.shape[axis - 1] * size)
    assert f"The file has {surplus} bytes more than it declares: its voxels" in read_volume_file(path).warnings[-1]


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
def test_fewer_voxels_are_declared_than_a_pair_has(tmp_path, volume, axial, kind):
    nib.save(kind(volume, axial), tmp_path / "a.img.gz")
    packed = tmp_path / "a.img.gz"
    packed.write_bytes(gzip.compress(gzip.decompress(packed.read_bytes()) + bytes(16)))
    assert "The file has 16 bytes more than it declares" in read_volume_file(tmp_path / "a.hdr.gz").warnings[-1]


class TestTwoSpacings:
    """The sform's and pixdim's: a widespread public copy of ACDC has 1 mm and 10 mm."""

    @pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
    @pytest.mark.parametrize("pixdim", [(1.5, 1.5, 10.0), (1.0, 1.0, 1.5)])
    def test_an_sform_of_one_millimetre_takes_those_of_pixdim(self, tmp_path, volume, kind, pixdim):
        image = kind(volume, np.diag([-1, -1, 1, 1]))
        image.header["qform_code"] = 0
        image.header["pixdim"][1:4] = pixdim
        nib.save(image, tmp_path / "a.nii")
        read = read_volume_file(tmp_path / "a.nii")
        np.testing.assert_allclose(read.voxel_to_world, np.diag([-1, -1, 1, 1]) * [*pixdim, 1])
        assert "two spacings, 1 × 1 × 1 mm by its sform and" in read.warnings[0]
        assert read.warnings[0].endswith("pixdim is used, since 1 mm is what programs write that do not know it.")

    @pytest.mark.parametrize("pixdim", [(1.0, 1.0, 1.0), (1.5, 2.0, 4.0), (np.nan, 2.0, 3.0), (1e30, 2.0, 3.0)])
    def test_any_other_sform_is_used(self, tmp_path, volume, axial, pixdim):
        image = nib.Nifti1Image(volume, axial)
        image.header["qform_code"] = 0
        image.header["pixdim"][1:4] = pixdim
        nib.save(image, tmp_path / "a.nii")
        read = read_volume_file(tmp_path / "a.nii")
        np.testing.assert_allclose(read.voxel_to_world, axial)
        assert "The file states two spacings, 1.5 × 2 × 3 mm by its sform" in read.warnings[0]

    def test_a_rounded_pixdim_is_none(self, tmp_path, volume, voxel_to_world):
        image = nib.Nifti1Image(volume, voxel_to_world)
        image.header["qform_code"] = 0
        image.header["pixdim"][1:4] *= 1.004
        nib.save(image, tmp_path / "a.nii")
        assert read_volume_file(tmp_path / "a.nii").warnings == ()

    @pytest.mark.parametrize("pixdim", [np.nan, np.inf, 0.0])
    def test_none_at_all(self, tmp_path, volume, pixdim):
        image = nib.Nifti1Image(volume, None)
        image.header["pixdim"][1:4] = (2.0, pixdim, 3.0)
        nib.save(image, tmp_path / "a.nii")
        read = read_volume_file(tmp_path / "a.nii")
        np.testing.assert_allclose(read.voxel_to_world, np.diag([2.0, 1, 3, 1]))
        assert "1 mm is assumed" in read.warnings[1] or "pixdim[1,2,3] should be non-zero" in read.warnings[1]


@pytest.mark.parametrize(("qfac", "said"), [(0.0, False), (2.0, True), (-1000.0, True)])
def test_a_side_that_readers_take_differently(tmp_path, volume, axial, qfac, said):
    """nibabel takes any qfac but −1 for 1, the library of the standard any negative one for −1."""
    image = nib.Nifti1Image(volume, axial)
    image.set_qform(axial, code=1)
    image.set_sform(None, code=0)
    nib.save(image, tmp_path / "a.nii")
    assert read_volume_file(tmp_path / "a.nii").warnings == ()
    edit(tmp_path / "a.nii", 76, "<f", qfac)
    assert any("(qfac)" in note for note in read_volume_file(tmp_path / "a.nii").warnings) == said


class TestScale:
    @pytest.mark.parametrize(
        ("slope", "inter", "said"),
        [
            (0, 0, False),
            (np.nan, np.nan, False),
            (np.nan, 0, False),
            (0, 5, True),
            (np.nan, 5, True),
            (np.inf, 0, True),
        ],
    )
    def test_none(self, tmp_path, volume, axial, slope, inter, said):
        """A slope of 0 is how the standard says that there is no scale."""
        nib.save(nib.Nifti1Image(volume, axial), tmp_path / "a.nii")
        edit(tmp_path / "a.nii", 112, "<2f", slope, inter)
        read = read_volume_file(tmp_path / "a.nii")
        np.testing.assert_array_equal(read.voxels, volume)
        assert any("(scl_slope, scl_inter): none is applied." in note for note in read.warnings) == said

    @pytest.mark.parametrize(("slope", "inter"), [(1, 1e30), (1e-45, 0), (1e30, 0), (1e-3, 1e6)])
    def test_that_leaves_no_grey_levels(self, tmp_path, volume, axial, slope, inter):
        nib.save(nib.Nifti1Image(volume, axial), tmp_path / "a.nii")
        edit(tmp_path / "a.nii", 112, "<2f", slope, inter)
        assert "A scale must keep grey levels apart: '" in refused(tmp_path / "a.nii")


@pytest.mark.parametrize("place", [1e30, -1e9])
def test_a_place_beyond_any_scanner(tmp_path, volume, place):
    affine = np.eye(4)
    affine[1, 3] = place
    nib.save(nib.Nifti1Image(volume, affine), tmp_path / "a.nii")
    with pytest.raises(CrossDError, match="A volume must lie where a scanner can reach"):
        read_volume(tmp_path / "a.nii")
