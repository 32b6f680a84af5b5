"""Laws of the pseudo-3D transformation, then torch's own unfolding as an independent reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from crossd import CrossDError, pseudo_3d, pseudo_3d_inverse
from crossd.pseudo3d import window_grid


def random_cases(count: int = 40) -> list[dict[str, int]]:
    """Windows, strides and paddings that fit, strides larger than the window and uncovered borders among them."""
    generator = np.random.default_rng(0)
    cases = []
    while len(cases) < count:
        names = ("kernel_size", "stride", "padding", "height", "width")
        drawn = (int(generator.integers(*span)) for span in ((1, 7), (1, 8), (0, 4), (1, 20), (1, 20)))
        case = dict(zip(names, drawn, strict=True))
        if case["kernel_size"] <= min(case["height"], case["width"]) + 2 * case["padding"]:
            cases.append(case)
    return cases


CASES = random_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_equals_torch_unfold(case):
    k, s, p, height, width = case.values()
    images = torch.rand(2, 3, height, width)
    grid = window_grid((height, width), k, s, p)
    expected = F.unfold(images, k, padding=p, stride=s).reshape(2, 3, k * k, *grid)
    first = pseudo_3d(images, k, s, p)
    assert torch.equal(first, expected)
    assert torch.equal(pseudo_3d(images, k, s, p, depth_axis=-1), expected.movedim(2, -1))
    assert first.is_contiguous()


@pytest.mark.parametrize("depth_axis", [0, -1])
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_the_inverse_is_exact_where_a_window_was(case, depth_axis):
    k, s, p, height, width = case.values()
    images = torch.rand(2, 3, height, width)
    windows = dict(kernel_size=k, stride=s, padding=p, depth_axis=depth_axis)
    restored, uncovered = pseudo_3d_inverse(pseudo_3d(images, **windows), (height, width), **windows)
    seen = np.zeros((height, width), dtype=bool)  # the plain loop over windows
    for i in range((height + 2 * p - k) // s + 1):
        for j in range((width + 2 * p - k) // s + 1):
            seen[max(i * s - p, 0) : max(i * s - p + k, 0), max(j * s - p, 0) : max(j * s - p + k, 0)] = True
    assert np.array_equal(~uncovered.numpy(), seen)
    assert torch.equal(restored, torch.where(uncovered, 0.0, images))


def test_a_random_case_leaves_pixels_uncovered_at_the_border_and_between_windows():
    """The cases above reach every branch: full cover, uncovered borders, strides larger than the window."""
    kinds = set()
    for case in CASES:
        k, s, p, height, width = case.values()
        _, uncovered = pseudo_3d_inverse(pseudo_3d(torch.rand(1, height, width), k, s, p), (height, width), k, s, p)
        kinds.add((bool(uncovered.any()), s > k))
    assert kinds >= {(False, False), (True, False), (True, True)}


def test_the_inverse_averages_voxels_of_a_pixel():
    """Like fold divided by its count, for voxels that disagree."""
    volumes = torch.rand(2, 3, 9, 6, 7, dtype=torch.float64)
    restored, uncovered = pseudo_3d_inverse(volumes, (12, 14), kernel_size=3, stride=2, padding=1)
    columns = volumes.reshape(2, 27, 42)
    fold = dict(output_size=(12, 14), kernel_size=3, padding=1, stride=2)
    total, count = (F.fold(c, **fold) for c in (columns, torch.ones_like(columns)))
    assert torch.equal(uncovered, count[0, 0] == 0)
    assert torch.allclose(restored, torch.where(count > 0, total / count.clamp(min=1), 0.0), rtol=0, atol=1e-15)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_middle_of_depth_is_the_centre_crop(k):
    image = torch.rand(2, 9, 11)
    border = (k - 1) // 2
    middle = pseudo_3d(image, k, stride=1, padding=0)[:, (k * k - 1) // 2]
    assert torch.equal(middle, image[:, border : 9 - border, border : 11 - border])
    assert torch.equal(pseudo_3d(image, k, stride=1, padding=border)[:, (k * k - 1) // 2], image)


@pytest.mark.parametrize("case", CASES[:10], ids=lambda case: "-".join(map(str, case.values())))
def test_an_impulse_lands_where_the_formula_says(case):
    k, s, p, height, width = case.values()
    row, column = height // 2, width // 3
    image = torch.zeros(2, height, width)
    image[1, row, column] = 1
    rows, columns = window_grid((height, width), k, s, p)
    expected = {
        (1, d, i, j)
        for d in range(k * k)
        for i in range(rows)
        for j in range(columns)
        if i * s + d // k - p == row and j * s + d % k - p == column
    }
    assert {tuple(index) for index in pseudo_3d(image, k, s, p).nonzero().tolist()} == expected


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.float16, torch.float64])
def test_types_stay(dtype):
    image = (torch.rand(1, 9, 10) * 250).to(dtype)
    volume = pseudo_3d(image, 3, 1, 1)
    restored, _ = pseudo_3d_inverse(volume, (9, 10), 3, 1, 1)
    assert volume.dtype == restored.dtype == dtype
    assert torch.equal(restored, image)


def test_arrays_are_taken_and_nothing_is_shared():
    image = np.arange(12.0).reshape(1, 3, 4)
    volume = pseudo_3d(image, kernel_size=1, stride=1, padding=0)
    volume += 1
    assert image[0, 0, 0] == 0


def test_gradients_are_the_counts():
    """A pixel's gradient counts the windows that show it; a voxel's in the inverse is one over that."""
    image = torch.rand(1, 4, 4, requires_grad=True)
    volume = pseudo_3d(image, kernel_size=3, stride=1, padding=0)
    volume.sum().backward()
    count = torch.tensor([[1.0, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]])
    assert torch.equal(image.grad[0], count)
    voxels = volume.detach().requires_grad_()
    pseudo_3d_inverse(voxels, (4, 4), kernel_size=3, stride=1, padding=0)[0].sum().backward()
    assert torch.allclose(voxels.grad, 1 / pseudo_3d(count[None], 3, 1, 0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu():
    images = torch.rand(2, 3, 33, 20)
    volumes = pseudo_3d(images.cuda(), 4, 3, 1)
    assert volumes.is_cuda
    assert torch.equal(volumes.cpu(), pseudo_3d(images, 4, 3, 1))
    restored, uncovered = pseudo_3d_inverse(volumes, (33, 20), 4, 3, 1)
    assert torch.equal(restored.cpu(), torch.where(uncovered.cpu(), 0.0, images))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pseudo_3d(torch.rand(1, 4, 6), 8, 1, 1), r"kernel_size 8 is larger than an image of 4 × 6 .* of 6"),
        (lambda: pseudo_3d(torch.rand(1, 0, 6), 1, 1, 0), r"larger than an image of 0 × 6 .* of 0 or less"),
        (lambda: pseudo_3d(torch.rand(8, 8)), r"\(channel, height, width\) or .* got the shape \(8, 8\)\. Add a"),
        (lambda: pseudo_3d(torch.rand(1, 1, 8, 8, 8)), r"a volume needs no pseudo-3D transformation"),
        (lambda: pseudo_3d(torch.rand(1, 8, 8), (4, 4)), r"`kernel_size` must be a whole number .* got \(4, 4\)"),
        (lambda: pseudo_3d(torch.rand(1, 8, 8), 0), r"`kernel_size` must be a whole number of pixels, 1 or more, got"),
        (lambda: pseudo_3d(torch.rand(1, 8, 8), stride=0), r"`stride` must be a whole number of pixels, 1 or more,"),
        (lambda: pseudo_3d(torch.rand(1, 8, 8), padding=-1), r"`padding` must be .* 0 or more, got -1"),
        (lambda: pseudo_3d(torch.rand(1, 8, 8), depth_axis=1), r"`depth_axis` must be one of 0, -1; got 1"),
        (lambda: pseudo_3d_inverse(torch.rand(1, 16, 4, 4), (8, 11), 4, 2, 1), r"8 × 11 .*channel, 16, 4, 5"),
        (lambda: pseudo_3d_inverse(torch.rand(1, 4, 4, 16), (8, 8), 4, 2, 1), r"give volumes \(channel, 16, 4, 4\)"),
        (lambda: pseudo_3d_inverse(torch.rand(16, 4, 4), (8, 8), 4, 2, 1), r"got the shape \(16, 4, 4\)"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(CrossDError, match=message):
        call()


def test_everything_stays_on_the_device_of_the_images():
    """torch's meta device refuses tensors of another one, as a GPU does."""
    volumes = pseudo_3d(torch.rand(2, 3, 33, 20, device="meta"), 4, 3, 1)
    assert volumes.device.type == "meta"
    restored, uncovered = pseudo_3d_inverse(volumes, (33, 20), 4, 3, 1)
    assert (restored.shape, restored.device.type, uncovered.device.type) == ((2, 3, 33, 20), "meta", "meta")
