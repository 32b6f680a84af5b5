"""Laws of kernel motion: a shift is a translation of a periodic kernel, a rotation is a rotation, both are linear."""

from __future__ import annotations

import pytest
import torch
from crossd.motion import (
    axis_angle,
    motion_matrix,
    move_kernel,
    rotation,
    rotation_matrix,
    shift_matrix,
    translation,
)

double = torch.float64


def shifted(kernel: torch.Tensor, shift: tuple[float, float, float]) -> torch.Tensor:
    size = kernel.shape[-1]
    matrix = shift_matrix(torch.tensor([shift], dtype=kernel.dtype), size, "volume")
    return move_kernel(kernel, matrix)[0].reshape(kernel.shape)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("shift", [(0, 0, 0), (1, 0, 0), (1, -2, 0), (1, 1, 1)])
def test_a_whole_voxel_shift_is_a_roll(size, shift, dtype, tolerance):
    kernel = torch.randn(2, 3, size, size, size, dtype=dtype)
    expected = torch.roll(kernel, shift, dims=(2, 3, 4))
    torch.testing.assert_close(shifted(kernel, shift), expected, atol=tolerance * 20, rtol=0)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_shifts_compose_by_addition_and_conserve_sum_and_energy(size):
    kernel = torch.randn(2, 3, size, size, size, dtype=double)
    first, second = (0.3, -0.7, 0.2), (1.1, 0.4, -0.9)
    both = tuple(a + b for a, b in zip(first, second, strict=True))
    moved = shifted(shifted(kernel, first), second)
    torch.testing.assert_close(moved, shifted(kernel, both))
    torch.testing.assert_close(moved.sum((2, 3, 4)), kernel.sum((2, 3, 4)))
    torch.testing.assert_close(moved.square().sum(), kernel.square().sum())


@pytest.mark.xfail(strict=True, reason="the Nyquist frequency of an even kernel has no conjugate partner")
def test_even_kernels_lose_energy():
    kernel = torch.randn(2, 3, 4, 4, 4, dtype=double)
    torch.testing.assert_close(shifted(kernel, (0.3, 0.2, 0.4)).square().sum(), kernel.square().sum())


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_shift_is_the_fourier_shift_of_the_paper(size):
    """Eq. 4-8 written out: FFT, phase exp(-2πj 1ᵀ(R f)), inverse FFT, real part."""
    kernel = torch.randn(2, 3, size, size, size, dtype=double)
    v = torch.tensor([[0.3, -0.5, 0.2]], dtype=double)
    x, y, z = v[0]
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=double)
    frequency = torch.fft.fftfreq(size, dtype=double)
    grid = torch.stack(torch.meshgrid(frequency, frequency, frequency, indexing="ij"))
    turned = torch.einsum("ij,jabc->iabc", torch.eye(3, dtype=double) + cross, grid)
    phase = torch.exp(-2j * torch.pi * turned.sum(0))
    expected = torch.fft.ifftn(torch.fft.fftn(kernel, dim=(2, 3, 4)) * phase, dim=(2, 3, 4)).real
    moved = move_kernel(kernel, motion_matrix(v, size, "shift", "volume"))[0].reshape(kernel.shape)
    torch.testing.assert_close(moved, expected)


def test_the_components_of_the_translation_sum_to_three():
    v = axis_angle(torch.randn(64, 4, dtype=double) * 3)
    torch.testing.assert_close(translation(v).sum(1), torch.full((64,), 3.0, dtype=double))
    assert v.norm(dim=1).max() <= torch.pi / 4 + 1e-12


def test_rotation_is_orthogonal_and_turns_about_its_axis():
    v = torch.randn(16, 3, dtype=double)
    matrix = rotation(v)
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(3, dtype=double).expand(16, 3, 3))
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(16, dtype=double))
    torch.testing.assert_close((matrix @ v[:, :, None])[:, :, 0], v)
    quarter = rotation(torch.tensor([[torch.pi / 2, 0, 0]], dtype=double))[0]
    torch.testing.assert_close(
        quarter @ torch.tensor([0.0, 1.0, 0.0], dtype=double), torch.tensor([0.0, 0.0, 1.0]).double()
    )


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_a_quarter_turn_of_the_kernel_is_torch_rot90(size):
    kernel = torch.randn(1, 1, size, size, size, dtype=double)
    v = torch.tensor([[torch.pi / 2, 0, 0]], dtype=double)
    turned = move_kernel(kernel, rotation_matrix(v, size, "volume"))[0].reshape(kernel.shape)
    # +90° about depth takes +height to +width, which is rot90 from height (dim 3) to width (dim 4)
    torch.testing.assert_close(turned, torch.rot90(kernel, 1, (3, 4)))


def test_rotation_at_rest_is_the_identity_and_smooth():
    v = torch.zeros(1, 3, dtype=double, requires_grad=True)
    matrix = rotation_matrix(v, 3, "volume")
    torch.testing.assert_close(matrix[0], torch.eye(27, dtype=double))
    (gradient,) = torch.autograd.grad(matrix.square().sum() + matrix[0, 0, 1], v)
    assert torch.isfinite(gradient).all()
    assert torch.autograd.gradcheck(rotation, v)


@pytest.mark.parametrize("motion", ["shift", "rotate"])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_views_are_the_middle_slice_and_the_sum_over_depth(motion, size):
    kernel = torch.randn(2, 2, size, size, size, dtype=double)
    v = torch.tensor([[0.2, -0.4, 0.3]], dtype=double)
    volume = move_kernel(kernel, motion_matrix(v, size, motion, "volume"))[0].reshape(kernel.shape)
    middle = move_kernel(kernel, motion_matrix(v, size, motion, "slice"))[0].reshape(2, 2, size, size)
    total = move_kernel(kernel, motion_matrix(v, size, motion, "projection"))[0].reshape(2, 2, size, size)
    torch.testing.assert_close(middle, volume[:, :, size // 2])
    torch.testing.assert_close(total, volume.sum(2))


def test_a_projected_shift_does_not_depend_on_the_depth_shift():
    matrices = [shift_matrix(torch.tensor([[d, 0.3, 0.8]], dtype=double), 3, "projection") for d in (0.0, 0.7)]
    torch.testing.assert_close(*matrices)


@pytest.mark.slow
@pytest.mark.parametrize("motion", ["shift", "rotate"])
@pytest.mark.parametrize("rows", ["slice", "projection", "volume"])
def test_gradcheck(motion, rows):
    v = (torch.randn(2, 3, dtype=double) * 0.3).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: motion_matrix(value, 3, motion, rows), v)
