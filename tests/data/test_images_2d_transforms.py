"""Crops of images: of the size, place and brightness that they should have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crossd.data.images import CentreResizedCropd, RandResizedCropd
from crossd.data.images.transforms import resized_crop
from crossd.errors import CrossDError


def ramp(height, width):
    """Each pixel is its own row (channel 0) and column (channel 1)."""
    rows, columns = np.mgrid[:height, :width]
    return torch.from_numpy(np.stack([rows, columns]).astype(np.uint8))


def test_a_crop_of_the_final_size_is_cut_out():
    assert torch.equal(resized_crop(ramp(9, 9), (2, 3, 4, 4), 4), ramp(9, 9)[:, 2:6, 3:7].float())


def test_shrinking_averages():
    image = torch.zeros(1, 64, 64, dtype=torch.uint8)
    image[..., ::2] = 200  # stripes that sampling every eighth pixel would show as all or nothing
    small = resized_crop(image, (0, 0, 64, 64), 8)
    assert (small[..., 1:-1] - 100).abs().max() < 1


def test_resizing_keeps_the_place_of_things():
    image = torch.zeros(1, 30, 40)
    image[:, 15:, 20:] = 100
    middle = resized_crop(image, (0, 0, 30, 40), 20)[0]
    assert middle[:9, :].max() < 1
    assert middle[11:, 11:].min() > 99


def test_random_crops_are_what_was_asked_for():
    transform = RandResizedCropd("image", 8, scale=(0.2, 0.6), ratio=(0.5, 2.0)).set_random_state(seed=0)
    boxes = [transform.box(60, 80) for _ in range(500)]
    shares = np.array([h * w / 4800 for _, _, h, w in boxes])
    ratios = np.array([w / h for _, _, h, w in boxes])
    assert all(top >= 0 and left >= 0 and top + h <= 60 and left + w <= 80 for top, left, h, w in boxes)
    assert 0.19 < shares.min() < 0.23
    assert 0.55 < shares.max() < 0.62
    assert 0.48 < ratios.min() < 0.6
    assert ratios.max() > 1.7
    assert abs(np.log(ratios).mean()) < 0.1  # wide and tall equally often


def test_an_image_too_narrow_for_any_crop_gives_its_middle():
    transform = RandResizedCropd("image", 4, scale=(0.9, 1.0)).set_random_state(seed=0)
    assert transform.box(4, 400) == (0, 198, 4, 4)


def test_the_same_seed_gives_the_same_crop_and_others_do_not():
    image = {"image": torch.from_numpy(np.random.default_rng(0).integers(0, 255, (1, 30, 30), np.uint8))}
    transform = RandResizedCropd("image", 8, flip_axes=(0, 1))
    first, second, third = (transform.set_random_state(seed=s)(image)["image"] for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_keys_get_the_same_crop():
    transform = RandResizedCropd(["a", "b"], 8, flip_axes=(0, 1)).set_random_state(seed=3)
    given = ramp(20, 20)
    result = transform({"a": given, "b": given.clone()})
    assert torch.equal(result["a"], result["b"])


@pytest.mark.parametrize("axis", [0, 1])
def test_flips(axis):
    transform = RandResizedCropd("image", 10, scale=(1, 1), ratio=(1, 1), flip_axes=[axis]).set_random_state(seed=0)
    image = ramp(10, 10)
    results = [transform({"image": image})["image"] for _ in range(200)]
    mirrored = [torch.equal(result, image.flip(axis + 1).float()) for result in results]
    straight = [torch.equal(result, image.float()) for result in results]
    assert all(a != b for a, b in zip(mirrored, straight, strict=True))
    assert 70 < sum(mirrored) < 130


def test_the_middle_of_wide_and_tall_images():
    for height, width in ((16, 32), (32, 16)):
        result = CentreResizedCropd("image", 8, share=0.5)({"image": ramp(height, width)})["image"]
        top, left = (height - 8) // 2, (width - 8) // 2
        assert torch.equal(result, ramp(height, width)[:, top : top + 8, left : left + 8].float())


def test_tiny_images_are_enlarged():
    assert CentreResizedCropd("image", 8)({"image": torch.full((1, 1, 3), 7)})["image"].eq(7).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": (0, 1)}, r"crop_scale must be two numbers with 0 < smallest <= largest <= 1, got \[0, 1\]"),
        ({"scale": (0.5, 1.5)}, r"crop_scale"),
        ({"ratio": (2, 1)}, r"crop_ratio must be two numbers with 0 < smallest <= largest, got \[2, 1\]"),
        ({"flip_axes": [2]}, r"flip_axes of images are 0 \(height\) and 1 \(width\), got \[2\]"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(CrossDError, match=message):
        RandResizedCropd("image", 8, **options)


def test_a_share_out_of_range():
    with pytest.raises(CrossDError, match=r"val_crop must be a share of the shorter side.* got 0"):
        CentreResizedCropd("image", 8, share=0)
