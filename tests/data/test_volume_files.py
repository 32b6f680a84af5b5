"""Law: one volume gives the same voxels and places in every format; what is no volume is refused by name."""

from __future__ import annotations

import gzip

import itk
import nibabel as nib
import numpy as np
import pytest
from crossd.data.reading import read_volume_file
from crossd.errors import CrossDError


def write_with_itk(path, volume, voxel_to_world):
    """As any ITK program would: LPS, direction and spacing apart."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ voxel_to_world
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = itk.image_from_array(np.ascontiguousarray(volume.transpose(2, 1, 0)))
    image.SetSpacing([float(value) for value in spacing])
    image.SetOrigin([float(value) for value in lps[:3, 3]])
    image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(lps[:3, :3] / spacing)))
    itk.imwrite(image, str(path))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_every_format_says_the_same(tmp_path, volume, voxel_to_world, suffix):
    path = tmp_path / f"volume{suffix}"
    if "nii" in suffix:
        nib.save(nib.Nifti1Image(volume, voxel_to_world), path)
    else:
        write_with_itk(path, volume, voxel_to_world)
    read = read_volume_file(path)
    np.testing.assert_array_equal(read.voxels, volume)
    assert read.voxels.dtype == np.float32
    np.testing.assert_allclose(read.voxel_to_world, voxel_to_world, atol=1e-4)
    assert (read.has_affine, read.warnings) == (True, ())


def test_scale_slopes_are_applied(tmp_path, axial):
    image = nib.Nifti1Image(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), axial)
    image.header.set_slope_inter(2.5, -10)
    nib.save(image, tmp_path / "a.nii.gz")
    stored = nib.load(tmp_path / "a.nii.gz").dataobj.get_unscaled()
    raw = nib.load(tmp_path / "a.nii.gz")
    expected = stored * raw.dataobj.slope + raw.dataobj.inter
    np.testing.assert_allclose(read_volume_file(tmp_path / "a.nii.gz").voxels, expected)
    assert raw.dataobj.slope != 1


def test_sform_and_qform_that_disagree_are_named(tmp_path, volume, axial):
    image = nib.Nifti1Image(volume, axial)
    image.set_qform(axial @ np.diag([1, 1, 2, 1]), code=1)
    nib.save(image, tmp_path / "a.nii")
    read = read_volume_file(tmp_path / "a.nii")
    assert read.warnings == (
        "sform and qform of the file disagree, by up to 18.00 mm at its corners: the sform is used, which can hold any "
        "affine and which nibabel and FSL take too.",
    )
    np.testing.assert_allclose(read.voxel_to_world, axial)


@pytest.mark.parametrize("shape", [(4, 5, 6, 1), (4, 5, 6, 1, 1)])
def test_trailing_axes_of_one_are_dropped(tmp_path, axial, shape):
    nib.save(nib.Nifti1Image(np.zeros(shape, dtype=np.int16), axial), tmp_path / "a.nii")
    assert read_volume_file(tmp_path / "a.nii").voxels.shape == (4, 5, 6)


def refused(path):
    with pytest.raises(CrossDError) as caught:
        read_volume_file(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_axes(tmp_path, axial):
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 5), dtype=np.int16), axial), path)
    assert "has three axes" in refused(path)
    assert "has 2, of sizes (4, 5). A single image is no volume: stack the slices" in refused(path)
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6, 12), dtype=np.int16), axial), path)
    assert "has 4, of sizes (4, 5, 6, 12). Choose one of its 12 volumes, counted from 0: --volume 0" in refused(path)
    flat = tmp_path / "flat.mha"
    itk.imwrite(itk.image_from_array(np.zeros((4, 5), dtype=np.float32)), str(flat))
    assert "has 2, of sizes (5, 4)" in refused(flat)


def test_colour_and_complex(tmp_path, axial):
    path = tmp_path / "a.nii.gz"
    rgb = np.zeros((3, 4, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(rgb, axial), path)
    assert "is in colour (fields R, G, B). Convert it to grey levels." in refused(path)
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), dtype=np.complex64), axial), path)
    assert "is complex (complex64). Write its magnitude instead." in refused(path)
    vector = tmp_path / "v.mha"
    itk.imwrite(itk.image_from_array(np.zeros((3, 4, 5, 3), dtype=np.uint8), is_vector=True), str(vector))
    assert (
        "has 3. Choose one of them, counted from 0, as a volume (--volume 0, or FILE@0 in place of the path)"
        in refused(vector)
    )


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("keep", [0.9, 0.5, 0.02])
def test_truncated(tmp_path, axial, suffix, keep):
    path = tmp_path / f"a{suffix}"
    volume = np.random.default_rng(0).integers(0, 1000, (20, 20, 20)).astype(np.int16)
    nib.save(nib.Nifti1Image(volume, axial), path) if "nii" in suffix else write_with_itk(path, volume, axial)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    assert "Copy it again." in refused(path)


def test_damaged(tmp_path, axial):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"")
    assert "must not be empty" in refused(path)
    path.write_bytes(b"this is no gzip file" * 100)
    assert "is truncated or damaged (" in refused(path)
    path.write_bytes(gzip.compress(b"this is no NIfTI file" * 100))
    assert "is truncated or damaged (" in refused(path)
    nib.save(nib.Nifti1Image(np.zeros((30, 30, 30), dtype=np.int16), axial), path)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    path.write_bytes(damaged)
    assert "is truncated or damaged (" in refused(path)
    path = tmp_path / "a.mha"
    path.write_bytes(b"no MetaImage")
    assert "Copy it again." in refused(path)
    assert "does not (No such file or directory). Check the path" in refused(tmp_path / "absent.nii.gz")
    path = tmp_path / "a.jpg"
    path.write_bytes(b"1234")
    assert "must be DICOM or end in one of .nii, .nii.gz, .hdr, .hdr.gz, .nrrd, .nhdr, .mha, .mhd" in refused(path)


def test_a_declared_size_beyond_memory(tmp_path, axial):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3), dtype=np.float64), axial), path)
    header = bytearray(path.read_bytes())
    header[42:48] = np.array([32000, 32000, 32000], dtype="<i2").tobytes()  # dim[1..3]
    path.write_bytes(header)
    message = refused(path)
    assert "must fit into memory" in message
    assert "declares 32000 × 32000 × 32000 voxels, where 1073741824 in all are the limit" in message
