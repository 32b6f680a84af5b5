r"""Kernel motion: the matrix that moves a cubic kernel, as a function of one 3-vector.

A Cross-D convolution stores one kernel `U` of shape `(K, K, K)`, axes `(depth, height, width)`, per channel pair. What
is convolved is `U` after a small *motion* and, in 2D, a *view* of the result. Both are linear in `U`, so together they
are one real matrix of shape `(positions, K³)`, and applying them is one matrix product: no Fourier transform, no
complex numbers. Kernels are periodic (what leaves one side enters the other) and are interpolated trigonometrically.

The motion parameter is `v = θ·k` (axis times angle), components along `(depth, height, width)`:

- `motion="shift"` (the published operator, arXiv 2411.02441 Eq. 2–8). The phase `exp(-2πi·1ᵀ(R f))` with `R = I +
  [v]×` is `exp(-2πi·t·f)` with `t = Rᵀ1 = (1, 1, 1) + (v_w − v_h, v_d − v_w, v_h − v_d)`: a translation by `t` voxels.
- `motion="rotate"`. A true rotation about the kernel's centre by the orthogonal matrix `R = exp([v]×)`.

and the view `"slice"` (published: the middle depth slice, index `K // 2`) or `"projection"` (the sum over depth).
Everything here is scriptable by `torch.jit.script`.
"""

from __future__ import annotations

import torch
from torch import Tensor

MAX_ANGLE = torch.pi / 4  # of the published predictor
MOTIONS = ("shift", "rotate")
VIEWS = ("slice", "projection")
ALIGNMENTS = ("raw", "rest", "running", "dynamic")


def axis_angle(raw: Tensor, max_angle: float = torch.pi / 4) -> Tensor:
    r"""Turn the four predictor outputs into the motion parameter `v = θ·k`.

    The first three are an axis, `k = r/(‖r‖ + 1e-8)`; the fourth is an angle, `θ = (π/4)·tanh(r₃)` (paper, after Eq.
    1).

    Args:
        raw: shape `(batch, 4)`.
        max_angle: the angle that is never exceeded, radians; π/4 in the paper.

    Returns:
        Shape `(batch, 3)`, along `(depth, height, width)`, in radians.

    >>> axis_angle(torch.tensor([[0.0, 0.0, 2.0, 100.0]]))
    tensor([[0.0000, 0.0000, 0.7854]])
    """
    axis = raw[:, :3]
    unit = axis / (torch.linalg.vector_norm(axis, dim=1, keepdim=True) + 1e-8)
    return unit * (torch.tanh(raw[:, 3:]) * max_angle)


def seen_from(weight: Tensor, axis: int) -> Tensor:
    """The stored kernel as an image sees it whose through-plane axis is `axis` of the volume.

    Args:
        weight: `(out, in, depth, height, width)`.
        axis: 0, 1 or 2.

    Returns:
        `(out, in, through-plane, rows, columns)`: that axis first, the others in their order.
    """
    if axis == 0:
        return weight
    return weight.permute(0, 1, 3, 2, 4) if axis == 1 else weight.permute(0, 1, 4, 2, 3)


def motion_in_volume(motion_vector: Tensor, axis: int) -> Tensor:
    """Motion parameters `(batch, 3)` along (through-plane, rows, columns), along (depth, height, width) instead.

    A motion vector is an axis of rotation: exchanging two axes (coronal) also turns its sense.
    """
    if axis == 0:
        return motion_vector
    return -motion_vector[:, [1, 0, 2]] if axis == 1 else motion_vector[:, [1, 2, 0]]


def motion_in_image(motion_vector: Tensor, axis: int) -> Tensor:
    """The inverse of `motion_in_volume`."""
    if axis == 0:
        return motion_vector
    return -motion_vector[:, [1, 0, 2]] if axis == 1 else motion_vector[:, [2, 0, 1]]


def translation(motion_vector: Tensor) -> Tensor:
    """The translation that the published phase computes, `t = (I + [v]×)ᵀ 1`.

    Args:
        motion_vector: `v`, shape `(batch, 3)`.

    Returns:
        Voxels along `(depth, height, width)`, shape `(batch, 3)`; its components always sum to 3.

    >>> translation(torch.zeros(1, 3))
    tensor([[1., 1., 1.]])
    """
    return 1.0 + motion_vector.roll(1, 1) - motion_vector.roll(-1, 1)


def rotation(motion_vector: Tensor) -> Tensor:
    """The orthogonal rotation matrix `exp([v]×)` (Rodrigues), smooth at `v = 0`.

    Args:
        motion_vector: `v`, shape `(batch, 3)`, radians.

    Returns:
        Shape `(batch, 3, 3)`, axes `(depth, height, width)`.

    >>> rotation(torch.zeros(1, 3))[0].trace().item()
    3.0
    """
    squared = (motion_vector * motion_vector).sum(1)
    small = squared < 1e-8
    angle = torch.sqrt(torch.where(small, torch.ones_like(squared), squared))
    first = torch.where(small, 1 - squared / 6, torch.sin(angle) / angle)[:, None, None]
    second = torch.where(small, 0.5 - squared / 24, (1 - torch.cos(angle)) / (angle * angle))[:, None, None]
    d, h, w = motion_vector[:, 0], motion_vector[:, 1], motion_vector[:, 2]
    zero = torch.zeros_like(d)
    cross = torch.stack([zero, -w, h, w, zero, -d, -h, d, zero], 1).reshape(-1, 3, 3)
    # [v]× squared is v vᵀ − ‖v‖² I: written without a matrix product, which autocast would round.
    square = motion_vector[:, :, None] * motion_vector[:, None, :]
    identity = torch.eye(3, dtype=motion_vector.dtype, device=motion_vector.device)
    square = square - squared[:, None, None] * identity
    return identity + first * cross + second * square


def periodic_sinc(distance: Tensor, size: int) -> tuple[Tensor, Tensor]:
    r"""Trigonometric interpolation weight at a distance, `(1/K) Σ_f exp(2πi f·distance)` with `f = fftfreq(K)`.

    Args:
        distance: voxels, any shape.
        size: `K`.

    Returns:
        Real and imaginary part, each of the shape of `distance`. The imaginary part is zero for odd `K`; for even `K`
        it is that of the Nyquist frequency, which has no conjugate partner.
    """
    real = torch.ones_like(distance)
    for index in range(1, (size - 1) // 2 + 1):
        real = real + 2 * torch.cos(distance * (2 * torch.pi * index / size))
    imaginary = torch.zeros_like(distance)
    if size % 2 == 0:
        real = real + torch.cos(torch.pi * distance)
        imaginary = -torch.sin(torch.pi * distance) / size
    return real / size, imaginary


def shift_matrix(shift: Tensor, size: int, rows: str) -> Tensor:
    """The matrix that translates a periodic `K×K×K` kernel by `shift` voxels and takes a view of it.

    Args:
        shift: shape `(batch, 3)`, voxels along `(depth, height, width)`; positive moves towards higher index.
        size: `K`.
        rows: `"volume"` keeps all `K³` positions, `"slice"` the `K²` of the middle depth slice, `"projection"` sums
            over depth.

    Returns:
        Shape `(batch, K³ or K², K³)`.

    >>> matrix = shift_matrix(torch.tensor([[0.0, 0.0, 1.0]]), 3, "volume")
    >>> (matrix @ torch.arange(27.0)).reshape(3, 3, 3)[0, 0].round().int().tolist()
    [2, 0, 1]
    """
    index = torch.arange(size, dtype=shift.dtype, device=shift.device)
    distance = index[:, None] - index[None, :] - shift[:, :, None, None]  # (batch, axis, to, from)
    real, imaginary = periodic_sinc(distance, size)
    d, h, w = real[:, 0], real[:, 1], real[:, 2]
    d_i, h_i, w_i = imaginary[:, 0], imaginary[:, 1], imaginary[:, 2]
    if rows == "slice":
        d, d_i = d[:, size // 2 : size // 2 + 1], d_i[:, size // 2 : size // 2 + 1]
    elif rows == "projection":
        d, d_i = d.sum(1, keepdim=True), d_i.sum(1, keepdim=True)
    matrix = _outer(d, h, w)
    if size % 2 == 0:  # real part of the product of three complex factors
        matrix = matrix - _outer(d, h_i, w_i) - _outer(d_i, h, w_i) - _outer(d_i, h_i, w)
    return matrix


def rotation_matrix(motion_vector: Tensor, size: int, rows: str) -> Tensor:
    """The matrix that rotates a periodic `K×K×K` kernel about its centre by `exp([v]×)` and takes a view of it.

    The moved kernel at position `p` (from the centre) is the trigonometric interpolant of the kernel at `Rᵀ p`.

    Args:
        motion_vector: `v`, shape `(batch, 3)`, radians.
        size: `K`.
        rows: as for `shift_matrix`.

    Returns:
        Shape `(batch, K³ or K², K³)`.
    """
    index = torch.arange(size, dtype=motion_vector.dtype, device=motion_vector.device)
    centred = index - (size - 1) / 2
    depth = centred[size // 2 : size // 2 + 1] if rows == "slice" else centred
    grid = torch.stack(torch.meshgrid([depth, centred, centred], indexing="ij"), -1).reshape(-1, 3)
    turned = (grid[None, :, :, None] * rotation(motion_vector)[:, None]).sum(2)  # (batch, to, axis): Rᵀ p
    distance = turned[:, :, :, None] + (size - 1) / 2 - index  # (batch, to, axis, from)
    real, _ = periodic_sinc(distance, size)
    d, h, w = real[:, :, 0], real[:, :, 1], real[:, :, 2]
    matrix = (d[:, :, :, None, None] * h[:, :, None, :, None] * w[:, :, None, None, :]).flatten(2)
    if rows == "projection":
        matrix = matrix.unflatten(1, [size, size * size]).sum(1)
    return matrix


def motion_matrix(motion_vector: Tensor, size: int, motion: str, rows: str) -> Tensor:
    """The matrix of a motion: `shift_matrix` at `translation(v)`, or `rotation_matrix` at `v`.

    >>> motion_matrix(torch.zeros(2, 3), 3, "rotate", "slice").shape
    torch.Size([2, 9, 27])
    """
    if motion == "shift":
        return shift_matrix(translation(motion_vector), size, rows)
    return rotation_matrix(motion_vector, size, rows)


def move_kernel(weight: Tensor, matrix: Tensor) -> Tensor:
    """Apply motion matrices to a stored weight.

    Args:
        weight: `U`, shape `(out, in, K, K, K)`.
        matrix: shape `(batch, positions, K³)`.

    Returns:
        Shape `(batch, out, in, positions)`.
    """
    flat = weight.flatten(2).flatten(0, 1)  # (out·in, K³)
    rows = matrix.to(weight.dtype).flatten(0, 1)  # of all samples, so that there is one product, not a slim one each
    moved = torch.matmul(flat, rows.t()).reshape([weight.shape[0], weight.shape[1], matrix.shape[0], matrix.shape[1]])
    return moved.permute(2, 0, 1, 3)


def _outer(d: Tensor, h: Tensor, w: Tensor) -> Tensor:
    """Kronecker product of three per-sample matrices `(batch, to, from)`, without a matrix product."""
    product = (
        d[:, :, None, None, :, None, None] * h[:, None, :, None, None, :, None] * w[:, None, None, :, None, None, :]
    )
    return product.flatten(4).flatten(1, 3)
