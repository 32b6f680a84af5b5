"""A map goes back to the voxels it came from, in whatever order and direction they were stored."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from crossd.inference import WindowInferer, input_space, map_in_input_space, save_map, to_input_space
from monai.data import MetaTensor
from monai.transforms import Compose, Orientation, Spacing


def rotation(degrees: float) -> np.ndarray:
    """About the axis (1, 2, 3)."""
    axis, angle = np.array([1.0, 2, 3]) / np.sqrt(14), np.deg2rad(degrees)
    cross = np.cross(np.eye(3), axis)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def affine_of(
    order: tuple[int, ...], signs: tuple[int, ...], spacing: tuple[float, ...], degrees: float
) -> torch.Tensor:
    affine = np.eye(4)
    affine[:3, :3] = rotation(degrees) @ (np.eye(3)[:, order] * signs) * spacing
    affine[:3, 3] = [-31.5, 12.25, 400.0]
    return torch.as_tensor(affine)


def volume(shape: tuple[int, ...], affine: torch.Tensor) -> MetaTensor:
    image = MetaTensor(torch.rand(1, *shape, generator=torch.Generator().manual_seed(1)), affine=affine)
    image.meta.update(spatial_shape=shape, original_affine=affine)
    return image


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (-1, -1, -1)])
def test_reordered_axes_come_back_exactly(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    image = volume((5, 6, 7), affine_of(order, signs, (1.0, 1.0, 1.0), 20))
    oriented = Orientation("SPL")(image)
    restored, affine = to_input_space(oriented[0].as_tensor(), oriented)
    np.testing.assert_allclose(restored, image[0].numpy(), atol=2e-5)
    np.testing.assert_array_equal(affine, image.affine.numpy())


def test_a_smooth_map_survives_resampling() -> None:
    """World x + 2y - z is linear, so linear interpolation gives it back at every voxel inside the resampled grid."""
    image = volume((24, 21, 9), affine_of((2, 0, 1), (-1, 1, -1), (0.7, 0.9, 3.0), 25))
    prepared = Compose([Orientation("SPL"), Spacing(1.0)])(image)

    def world(grid: MetaTensor) -> torch.Tensor:
        voxels = torch.stack(torch.meshgrid(*(torch.arange(n) for n in grid.shape[1:]), indexing="ij"), -1).double()
        millimetres = voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        return (millimetres @ torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)).float()

    restored, _ = to_input_space(world(prepared), prepared)
    inside = (slice(1, -1),) * 3
    np.testing.assert_allclose(restored[inside], world(image).numpy()[inside], atol=5e-3)


def test_slab_by_slab_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    image = volume((17, 12, 11), affine_of((1, 2, 0), (1, -1, 1), (0.5, 1.5, 1.0), 15))
    prepared = Compose([Orientation("SPL"), Spacing(1.0)])(image)
    whole, _ = to_input_space(prepared[0].as_tensor(), prepared)
    monkeypatch.setattr(input_space, "SLAB", 5 * 12 * 11)
    slabs, _ = to_input_space(prepared[0].as_tensor(), prepared)
    np.testing.assert_allclose(slabs, whole, atol=1e-5)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize(("shape", "shear"), [((24, 21, 9), 0.0), ((24, 21, 9), 0.3), ((6, 5, 4), 0.0)])
def test_a_map_at_once_is_the_map_resampled(order: tuple[int, ...], shape: tuple[int, ...], shear: float) -> None:
    """Several windows on parallel and on sheared grids, and one padded window."""
    affine = affine_of(order, (-1, 1, -1), (0.7, 0.9, 3.0), 25)
    affine[:3, 2] += affine[:3, 1] * shear
    prepared = Compose([Orientation("SPL"), Spacing(1.0)])(volume(shape, affine))
    inferer = WindowInferer(12, overlap=0.5, sw_batch_size=64)
    evidence = inferer.windows(prepared[None], lambda x: x.flatten(1)[:, ::7][:, :2] * 5)
    assert (len(evidence) == 1) == (shape == (6, 5, 4))
    at_once, its_affine = map_in_input_space(evidence.map(1), prepared)
    resampled, same_affine = to_input_space(evidence.map(1)(), prepared)
    assert at_once.shape == shape
    np.testing.assert_allclose(at_once, resampled, atol=1e-5)
    np.testing.assert_array_equal(its_affine, same_affine)


@pytest.mark.parametrize("codes", [(1, 0), (2, 1), (4, 4), (0, 1), (0, 0)])
def test_a_map_is_placed_like_the_nifti_it_belongs_to(tmp_path: Path, codes: tuple[int, int]) -> None:
    affine = affine_of((1, 0, 2), (1, -1, 1), (0.7, 0.9, 3.0), 25).numpy()
    source = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), affine)
    source.set_sform(affine, code=codes[0])
    source.set_qform(affine, code=codes[1])
    nib.save(source, tmp_path / "source.nii.gz")
    save_map(tmp_path / "map.nii.gz", np.ones((4, 5, 6), np.float32), affine, like=str(tmp_path / "source.nii.gz"))
    saved, source = nib.load(tmp_path / "map.nii.gz"), nib.load(tmp_path / "source.nii.gz")
    np.testing.assert_allclose(saved.affine, source.affine, atol=1e-5)
    assert (saved.header["sform_code"], saved.header["qform_code"]) == codes
    assert not list(tmp_path.glob(".*"))  # nothing half-written is left


def test_a_map_of_anything_else_has_scanner_coordinates(tmp_path: Path) -> None:
    affine = affine_of((0, 1, 2), (1, 1, 1), (1.0, 2.0, 3.0), 10).numpy()
    affine[:3, 2] += affine[:3, 1] * 0.2  # sheared, as gantry tilt does
    save_map(tmp_path / "map.nii.gz", np.zeros((2, 3, 4), np.float32), affine, like="/a/dicom/folder")
    saved = nib.load(tmp_path / "map.nii.gz")
    np.testing.assert_allclose(saved.affine, affine, atol=1e-5)
    assert saved.header["sform_code"] == 1


@pytest.mark.parametrize("unit", ["meter", "mm", "micron"])
def test_a_map_has_the_unit_of_its_source(tmp_path, unit):
    source = nib.Nifti1Image(np.zeros((3, 4, 5), np.float32), np.diag([0.5, 0.5, 0.5, 1]))
    source.header.set_xyzt_units(unit)
    nib.save(source, tmp_path / "a.nii")
    save_map(tmp_path / "map.nii.gz", np.ones((3, 4, 5), np.float32), np.eye(4), like=str(tmp_path / "a.nii"))
    written = nib.load(tmp_path / "map.nii.gz")
    assert written.header.get_xyzt_units()[0] == unit
    np.testing.assert_allclose(written.affine, source.affine)
