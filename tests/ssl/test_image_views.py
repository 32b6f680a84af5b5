"""Views of images: crops of the pseudo-3D volume, changed while they are still images."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDError, pseudo_3d
from crossd.ssl import ImageViewsd, image_sizes, volume_sizes, window_options
from crossd.ssl.crop_views import spatial_changes
from monai.transforms import Compose, Flip, Identity

PLAIN = {name: Compose([Identity()]) for name in ("spatial", "intensity", "sub_intensity")}
SIZES = {"roi_size": (9, 8, 8), "sub_roi_size": (9, 4, 4), "sub_crop_sizes": [(9, 4, 4)]}


def made(changes=PLAIN, crop_sizes=((9, 8, 8),), windows=(3, 2, 1), **options):
    options = {**SIZES, "sub_crops": 1, **changes, **options}
    return ImageViewsd("image", *windows, crop_sizes=crop_sizes, **options).set_random_state(seed=3)


def test_without_changes_views_are_crops_of_the_pseudo_3d_volume():
    image = torch.rand(2, 24, 30)
    views = made()
    volume = pseudo_3d(image, 3, 2, 1)
    assert views._size(image) == tuple(volume.shape[1:])
    items = views({"image": image})
    boxes = [
        (slice(None), slice(None), slice(i, i + 8), slice(j, j + 8))
        for i in range(volume.shape[2] - 7)
        for j in range(volume.shape[3] - 7)
    ]
    for name in ("view_1", "view_2", "target"):
        assert any(torch.equal(items[name], volume[box]) for box in boxes), name


def test_a_mirrored_view_is_the_volume_of_a_mirrored_patch():
    """Not the mirrored volume: in that, what is in the windows would still run the other way."""
    image = torch.rand(1, 24, 30)
    straight = made()({"image": image})["view_1"]
    mirrored = made({**PLAIN, "spatial": Compose([Flip(spatial_axis=1)])})({"image": image})["view_1"]
    rows = [straight[0].reshape(3, 3, 8, 8)]  # (row, column) of a window, windows
    expected = rows[0].flip(1).flip(3).reshape(1, 9, 8, 8)  # mirrored windows, and each mirrored in itself
    torch.testing.assert_close(mirrored, expected)
    assert not torch.equal(mirrored, straight.flip(3))


def test_the_changes_are_those_of_an_image():
    changes = spatial_changes(2).set_random_state(seed=0)
    assert changes(torch.rand(1, 20, 24)).shape == (1, 20, 24)
    default = ImageViewsd("image", 3, 2, 1, **SIZES, crop_sizes=[(9, 8, 8)])
    assert default.spatial.transforms[0].flipper.spatial_axis == 1
    items = default.set_random_state(seed=0)({"image": torch.rand(1, 24, 24)})
    assert items["view_1"].shape == (1, 9, 8, 8)
    assert not torch.equal(items["view_1"], items["view_2"])


def test_in_plane_crops_are_resized_in_plane():
    items = made(crop_sizes=[(9, 10, 12)], image_size=24)({"image": torch.rand(1, 24, 24)})
    assert items["view_1"].shape == (1, 9, 8, 8)


@pytest.mark.parametrize(
    ("windows", "image_size", "message"),
    [
        ((3, 2, 1), 10, "image of 10 × 10 pixels gives 5 × 5 windows .* asks for 8 × 8. Resize the images"),
        ((30, 1, 1), 24, "A window must fit into the image: kernel_size 30 is larger than an image of 24 × 24"),
        ((2, 2, 0), 24, "kernel_size 2 gives 4, the crop .9, 8, 8. asks for 9. Pass kernel_size 3"),
    ],
)
def test_windows_that_do_not_fit(windows, image_size, message):
    with pytest.raises(CrossDError, match=message):
        made(windows=windows, image_size=image_size)


def test_an_image_that_is_too_small_for_the_crop():
    with pytest.raises(CrossDError, match=r"the crop \[9, 8, 8\] is larger than a volume of the shape \(1, 9, 6, 6\)"):
        made()({"image": torch.rand(1, 12, 12)})


def test_sizes_follow_from_the_views():
    assert volume_sizes([16, 32, 32]) == {
        "roi_size": (16, 32, 32),
        "crop_sizes": [(16, 32, 32), (20, 40, 40)],
        "sub_roi_size": (8, 16, 16),
        "sub_crop_sizes": [(4, 8, 8), (8, 16, 16), (12, 24, 24)],
    }
    sizes = image_sizes([16, 32, 32], crop_sizes=[[30, 20]])
    assert sizes["crop_sizes"] == [(16, 30, 20)]
    assert sizes["sub_crop_sizes"] == [(8, 8, 8), (8, 16, 16), (8, 24, 24)]
    assert volume_sizes([8] * 3, [[9, 9, 9]], [4] * 3, [[5, 5, 5]])["sub_crop_sizes"] == [[5, 5, 5]]


@pytest.mark.parametrize("roi_size", [[16, 64, 64], [32, 32, 32], [32, 64, 64], [1, 8, 12]])
def test_windows_follow_from_the_views_and_fit(roi_size):
    options = window_options(roi_size)
    sizes = image_sizes(roi_size)
    assert ImageViewsd("image", **options, **sizes).windows["kernel_size"] ** 2 >= roi_size[0]
    assert window_options(roi_size, 7, 3, 2, 99) == {"kernel_size": 7, "stride": 3, "padding": 2, "image_size": 99}


def test_sizes_that_are_none():
    with pytest.raises(CrossDError, match=r"`roi_size` is \(depth, height, width\) in whole voxels, .* got \[8, 8\]"):
        volume_sizes([8, 8])
    with pytest.raises(CrossDError, match=r"Crops of images are \(height, width\), .* for `image_crop_sizes`"):
        image_sizes([8, 8, 8], crop_sizes=[[8, 8, 8]])
