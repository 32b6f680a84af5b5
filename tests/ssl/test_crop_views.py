"""The views of PCRLv2: where crops lie, what the target shows, and that the seed decides."""

from __future__ import annotations

import pytest
import torch
from crossd import CrossDError, Pseudo3D
from crossd.ssl import GlobalAndSubCropsd
from crossd.ssl.crop_views import CROP_SIZES, MARGIN, intensity_changes, intersection_over_union, spatial_changes
from monai.transforms import Compose, Identity, RandCoarseShuffle

SIZES = dict(
    roi_size=(8, 16, 16), crop_sizes=[(8, 16, 16), (12, 24, 24)], sub_roi_size=(6, 6, 6), sub_crop_sizes=[(6, 6, 6)]
)


def as_they_are(**options) -> GlobalAndSubCropsd:
    """Crops without changes."""
    nothing = dict.fromkeys(("spatial", "intensity", "sub_intensity"), Compose([Identity()]))
    return GlobalAndSubCropsd("image", **{**SIZES, **nothing, **options})


def inside(box, size) -> bool:
    return all(0 <= side.start < side.stop <= n for side, n in zip(box, size, strict=True))


def test_intersection_over_union_by_hand():
    box = (slice(0, 4), slice(0, 4), slice(0, 4))
    assert intersection_over_union(box, box) == 1
    assert intersection_over_union(box, (slice(2, 6), slice(0, 4), slice(0, 4))) == 32 / 96
    assert intersection_over_union(box, (slice(4, 8), slice(0, 4), slice(0, 4))) == 0


def test_global_crops_overlap_and_sub_crops_begin_near_them():
    views = GlobalAndSubCropsd("image").set_random_state(seed=0)
    size = (70, 130, 150)
    views.crop_sizes = [crop for crop in CROP_SIZES if crop[0] <= size[0]]
    starts, sizes = set(), set()
    for _ in range(200):
        one, other = views.global_boxes(size)
        assert inside(one, size)
        assert inside(other, size)
        assert intersection_over_union(one, other) > 0.3
        starts.add(one[2].start)
        sizes.add(tuple(side.stop - side.start for side in other))
        sub = views.sub_box(size, one, other)
        assert inside(sub, size)
        for side, a, b, n in zip(sub, one, other, size, strict=True):
            length = side.stop - side.start
            assert side.start >= min(min(a.start, b.start) - MARGIN, n - length)
            assert side.start < max(a.stop, b.stop) + MARGIN
    assert len(starts) > 30
    assert sizes == set(views.crop_sizes)


def test_views_are_crops_of_the_volume_and_the_target_is_view_1():
    """Values name their place: without changes and with crops of the final size, views are parts of the volume."""
    volume = torch.arange(16.0 * 32 * 32).reshape(1, 16, 32, 32)
    views = as_they_are(crop_sizes=[(8, 16, 16)]).set_random_state(seed=1)({"image": volume, "name": "a"})
    for name in ("view_1", "view_2", "target"):
        first = int(views[name].flatten()[0])
        d, h, w = first // 1024, first // 32 % 32, first % 32
        assert torch.equal(views[name], volume[:, d : d + 8, h : h + 16, w : w + 16])
    assert torch.equal(views["target"], views["view_1"])
    assert not torch.equal(views["view_1"], views["view_2"])
    assert len({float(crop.flatten()[0]) for crop in views["sub_crops"]}) > 1
    assert set(views) == {"view_1", "view_2", "target", "sub_crops", "name"}


def test_intensities_change_the_input_and_not_the_target():
    shuffle = Compose([RandCoarseShuffle(holes=20, spatial_size=4, prob=1)])  # writes into what it is given
    volume = torch.rand(1, 16, 32, 32)
    before = volume.clone()
    views = as_they_are(intensity=shuffle).set_random_state(seed=0)({"image": volume})
    assert not torch.equal(views["view_1"], views["target"])
    assert torch.equal(views["view_1"].flatten().sort().values, views["target"].flatten().sort().values)
    assert torch.equal(volume, before)


def test_spatial_changes_come_before_the_target():
    class Brighter:
        def __call__(self, image):
            return image + 10

    views = as_they_are(spatial=Compose([Brighter()])).set_random_state(seed=0)({"image": torch.zeros(1, 16, 32, 32)})
    assert all((views[name] == 10).all() for name in ("target", "view_1", "view_2", "sub_crops"))


def test_the_changes_of_the_method():
    volume = torch.rand(2, 16, 32, 32)
    views = GlobalAndSubCropsd("image", **SIZES, sub_crops=2).set_random_state(seed=0)({"image": volume})
    for name in ("view_1", "view_2"):
        assert torch.allclose(views[name].mean((1, 2, 3)), torch.zeros(2), atol=1e-5)
        assert torch.allclose(views[name].std((1, 2, 3), correction=0), torch.ones(2), atol=1e-4)
    assert views["target"].min() >= 0
    assert views["target"].max() <= 1
    assert type(views["view_1"]) is torch.Tensor
    assert views["sub_crops"].shape == (2, 2, 6, 6, 6)
    assert torch.isfinite(views["sub_crops"]).all()


def test_the_seed_decides():
    volume = {"image": torch.rand(1, 16, 32, 32)}
    first, again, other = (
        GlobalAndSubCropsd("image", **SIZES).set_random_state(seed=seed)(volume) for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["view_1"], other["view_1"])


def test_spatial_changes_mirror_left_and_right_half_of_the_time():
    flip = spatial_changes().transforms[0]
    flip.set_random_state(seed=0)
    line = torch.arange(4.0).reshape(1, 1, 1, 4)
    mirrored = sum(bool(torch.equal(flip(line).as_tensor(), line.flip(3))) for _ in range(100))
    assert 30 < mirrored < 70


def test_sub_crops_keep_their_order():
    kinds = [[type(change).__name__ for change in intensity_changes(shuffle).transforms] for shuffle in (True, False)]
    assert "RandCoarseShuffle" in kinds[0]
    assert "RandCoarseShuffle" not in kinds[1]


def test_pseudo_3d_volumes_have_views():
    volume = Pseudo3D(4, 2, 1, roi_size=(16, 32, 32))(torch.rand(1, 96, 96))
    views = GlobalAndSubCropsd("image", (16, 32, 32), [(16, 32, 32), (16, 40, 40)], (8, 8, 8), [(8, 8, 8)], sub_crops=1)
    assert views.set_random_state(seed=0)({"image": volume})["view_1"].shape == (1, 16, 32, 32)


def test_without_sub_crops():
    views = as_they_are(sub_crops=0, sub_crop_sizes=[(64, 64, 64)])({"image": torch.rand(1, 16, 32, 32)})
    assert views["sub_crops"].numel() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GlobalAndSubCropsd(["a", "b"]), r"made of one volume, got the keys \['a', 'b'\]"),
        (
            lambda: as_they_are(crop_sizes=[(8, 8)]),
            r"Sizes in `crop_sizes` are \(depth, height, width\), .* got \[\(8, 8\)\]",
        ),
        (lambda: as_they_are(sub_crop_sizes=[]), r"Sizes in `sub_crop_sizes` are"),
        (lambda: as_they_are(roi_size=(0, 8, 8)), r"Sizes in `roi_size` are"),
        (lambda: as_they_are(sub_crops=-1), r"got sub_crops -1 and min_iou 0\.3"),
        (lambda: as_they_are(min_iou=1.0), r"got sub_crops 6 and min_iou 1\.0"),
        (
            lambda: as_they_are()({"image": torch.rand(1, 9, 32, 32)}),
            r"the crop \[12, 24, 24\] is larger than a volume of the shape \(1, 9, 32, 32\)\. .* larger kernel_size",
        ),
        (lambda: as_they_are()({"image": torch.rand(1, 32, 32)}), r"\(channel, depth, height, width\): the crop"),
        (
            lambda: as_they_are(crop_sizes=[(16, 16, 16)], min_iou=0.999).set_random_state(seed=0)(
                {"image": torch.rand(1, 40, 40, 40)}
            ),
            r"overlap by more than min_iou, 0\.999: none of 1000 pairs",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(CrossDError, match=message):
        call()
