"""The views of PCRLv2: two overlapping global crops of a volume, and sub-crops around them.

Source: luna_preprocess.py, data.py and datasets/lunaDataset.py of github.com/RL4M/PCRLv2, commit 6634bef (arXiv
2301.00772). Sizes there are (width, height, depth), here (depth, height, width).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import get_track_meta, set_track_meta
from monai.transforms import (
    Compose,
    MapTransform,
    NormalizeIntensity,
    RandAdjustContrast,
    RandAffine,
    RandCoarseShuffle,
    RandFlip,
    RandGaussianNoise,
    RandGaussianSmooth,
    Randomizable,
    Resize,
)
from monai.utils import MAX_SEED, convert_to_tensor
from torch import Tensor

from crossd.errors import CrossDError

Size = Sequence[int]
Box = tuple[slice, slice, slice]

# All from the published code:
ROI_SIZE = (32, 64, 64)
CROP_SIZES = ((64, 96, 96), (96, 96, 96), (64, 112, 112), (32, 64, 64))
SUB_ROI_SIZE = (16, 16, 16)
SUB_CROP_SIZES = ((16, 32, 32), (16, 16, 16), (32, 32, 32), (8, 8, 8))
SUB_CROPS = 6
MIN_IOU = 0.3
MARGIN = 3  # voxels around the two global crops in which sub-crops may begin
TRIES = 1000  # ours; the published code tries without end


def intersection_over_union(one: Box, other: Box) -> float:
    """What two boxes share, as a part of what they cover together.

    >>> intersection_over_union((slice(0, 2), slice(0, 2), slice(0, 2)), (slice(1, 3), slice(0, 2), slice(0, 2)))
    0.3333333333333333
    """
    common = math.prod(max(0, min(a.stop, b.stop) - max(a.start, b.start)) for a, b in zip(one, other, strict=True))
    volumes = [math.prod(side.stop - side.start for side in box) for box in (one, other)]
    return common / (sum(volumes) - common)


def spatial_changes(spatial_dims: int = 3) -> Compose:
    """What changes view and target alike: a mirrored left-right axis, small rotations and scalings.

    From the published code, which takes TorchIO's defaults: probability 1/2, 10° about each axis, 10 % of size. MONAI's
    transforms instead of TorchIO's are ours, and so are those of images, `(channel, height, width)`, about the middle.
    """
    turns = [math.radians(10)] * (3 if spatial_dims == 3 else 1)
    scales = [0.1] * spatial_dims
    affine = RandAffine(prob=1, rotate_range=turns, scale_range=scales, mode="bilinear", padding_mode="zeros")
    return Compose([RandFlip(prob=0.5, spatial_axis=spatial_dims - 1), affine])


def intensity_changes(shuffle: bool) -> Compose:
    """What changes the network's input alone: blur, noise, gamma, parts in disorder, mean 0 and standard deviation 1.

    From the published code, which takes TorchIO's defaults: blur of 0 to 2 voxels, noise of 0 to 0.25, gamma of
    `exp(±0.3)`, 100 patches of 4 × 4 × 8 voxels. Ours: MONAI's transforms, which draw gamma itself evenly, not its
    logarithm, and shuffle the voxels within each patch where TorchIO exchanges pairs of patches.
    """
    blur = (0.01, 2.0)
    changes: list[Any] = [
        RandGaussianSmooth(blur, blur, blur, prob=1),
        RandGaussianNoise(prob=1, std=0.25),
        RandAdjustContrast(prob=1, gamma=(math.exp(-0.3), math.exp(0.3))),
    ]
    if shuffle:
        changes.append(RandCoarseShuffle(holes=100, spatial_size=(4, 4, 8), prob=1))
    return Compose([*changes, NormalizeIntensity(channel_wise=True)])


class GlobalAndSubCropsd(Randomizable, MapTransform):
    """A volume as the views that PCRLv2 compares.

    Args:
        keys: one volume, `(channel, depth, height, width)` in [0, 1], a true one or a pseudo-3D one.
        roi_size: what global views are resized to.
        crop_sizes: what the two global crops are drawn from, each for itself.
        sub_roi_size: what sub-crops are resized to.
        sub_crop_sizes: what the sub-crops are drawn from, each for itself.
        min_iou: global crops share more than this part of what they cover together.
        spatial: of every view, before the target is taken; None for `spatial_changes()`.
        intensity: of the inputs of global views; None for `intensity_changes(shuffle=True)`.
        sub_intensity: of sub-crops; None for `intensity_changes(shuffle=False)`.

    Sub-crops begin at a voxel within the box around both global crops and 3 voxels more, as published; where they would
    then end outside of the volume they are moved inside (ours: published ones are cut off). The published choice of
    crops by their amount of tissue and the border that LUNA16 gets are left to the pipeline before.

    The entry of `keys` is replaced by `"view_1"`, `"view_2"` and `"target"`, view 1 before its intensities were
    changed, all `(channel, *roi_size)`, and `"sub_crops"`, `(sub_crops, channel, *sub_roi_size)`: plain tensors.

    >>> sizes = dict(crop_sizes=[(8, 16, 16), (12, 24, 24)], sub_roi_size=(8, 8, 8), sub_crop_sizes=[(8, 8, 8)])
    >>> views = GlobalAndSubCropsd("image", roi_size=(8, 16, 16), **sizes, sub_crops=2)
    >>> items = views.set_random_state(seed=0)({"image": torch.rand(1, 16, 32, 32)})
    >>> {name: tuple(item.shape) for name, item in items.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'view_1': (1, 8, 16, 16), 'view_2': (1, 8, 16, 16), 'target': (1, 8, 16, 16), 'sub_crops': (2, 1, 8, 8, 8)}
    """

    def __init__(
        self,
        keys: KeysCollection,
        roi_size: Size = ROI_SIZE,
        crop_sizes: Sequence[Size] = CROP_SIZES,
        sub_roi_size: Size = SUB_ROI_SIZE,
        sub_crop_sizes: Sequence[Size] = SUB_CROP_SIZES,
        sub_crops: int = SUB_CROPS,
        min_iou: float = MIN_IOU,
        spatial: Compose | None = None,
        intensity: Compose | None = None,
        sub_intensity: Compose | None = None,
    ) -> None:
        MapTransform.__init__(self, keys)
        if len(self.keys) != 1:
            raise CrossDError(f"Views are made of one volume, got the keys {list(self.keys)}. Join channels before.")
        named = {"roi_size": [roi_size], "sub_roi_size": [sub_roi_size]}
        for name, sizes in {**named, "crop_sizes": crop_sizes, "sub_crop_sizes": sub_crop_sizes}.items():
            if not sizes or any(len(size) != 3 or min(size) < 1 for size in sizes):
                raise CrossDError(
                    f"Sizes in `{name}` are (depth, height, width), 1 or more voxels each, got {sizes}. "
                    "Example: (16, 64, 64)."
                )
        if sub_crops < 0 or not 0 <= min_iou < 1:
            raise CrossDError(
                f"Views take 0 or more sub-crops and an overlap of 0 or more, below 1; got sub_crops {sub_crops} and "
                f"min_iou {min_iou}. The published values are 6 and 0.3."
            )
        self.crop_sizes = [tuple(size) for size in crop_sizes]
        self.sub_crop_sizes = [tuple(size) for size in sub_crop_sizes]
        self.sub_crops = sub_crops
        self.min_iou = min_iou
        self.resize = Resize(roi_size, mode="trilinear", anti_aliasing=True)
        self.resize_sub = Resize(sub_roi_size, mode="trilinear", anti_aliasing=True)
        self.spatial = spatial or spatial_changes()
        self.intensity = intensity or intensity_changes(shuffle=True)
        self.sub_intensity = sub_intensity or intensity_changes(shuffle=False)

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> GlobalAndSubCropsd:
        """Seed the places of crops and all changes of them."""
        super().set_random_state(seed, state)
        for changes in (self.spatial, self.intensity, self.sub_intensity):
            changes.set_random_state(seed=int(self.R.randint(MAX_SEED, dtype="uint32")))
        return self

    def global_boxes(self, size: Size) -> tuple[Box, Box]:
        """Two boxes in a volume `(depth, height, width)` that overlap by more than `min_iou`, drawn until they do."""
        for _ in range(TRIES):
            one_size, other_size = (self._one_of(self.crop_sizes) for _ in range(2))
            one = self._box(one_size, [0] * 3, [side - n + 1 for side, n in zip(size, one_size, strict=True)], size)
            first = [
                side.start - n + 1 for side, n in zip(one, other_size, strict=True)
            ]  # what shares a voxel with `one`
            last = [min(a.stop - 1, side - n) for a, side, n in zip(one, size, other_size, strict=True)]
            other = self._box(other_size, first, [at + 1 for at in last], size)
            if intersection_over_union(one, other) > self.min_iou:
                return one, other
        raise CrossDError(
            f"Global crops must overlap by more than min_iou, {self.min_iou}: none of {TRIES} pairs of the sizes "
            f"{self.crop_sizes} did. Pass a smaller min_iou, or crop_sizes that are more alike."
        )

    def sub_box(self, size: Size, one: Box, other: Box) -> Box:
        """A box that begins near the two global ones."""
        first = [min(a.start, b.start) - MARGIN for a, b in zip(one, other, strict=True)]
        stop = [max(a.stop, b.stop) + MARGIN for a, b in zip(one, other, strict=True)]
        return self._box(self._one_of(self.sub_crop_sizes), first, stop, size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The views of a volume.

        Raises:
            CrossDError: for a volume with other axes, or smaller than a crop.
        """
        d = dict(data)
        volume = convert_to_tensor(d.pop(self.keys[0]), track_meta=False, dtype=torch.float32)
        size = self._size(volume)
        for crop in (*self.crop_sizes, *(self.sub_crop_sizes if self.sub_crops else ())):
            if len(size) != 3 or any(n > side for n, side in zip(crop, size, strict=True)):
                raise CrossDError(
                    f"Every crop must fit into the volume, (channel, depth, height, width): the crop {list(crop)} is "
                    f"larger than a volume of the shape {(volume.shape[0], *size)}. Pass smaller crop_sizes; or "
                    "SpatialPadd before; or, for pseudo-3D, a larger kernel_size, whose square is the depth."
                )
        boxes = self.global_boxes(size)
        sub_boxes = [self.sub_box(size, *boxes) for _ in range(self.sub_crops)]
        tracked = get_track_meta()
        set_track_meta(False)  # nobody asks a view where it was: without that record it takes two thirds of the time
        try:
            return {**d, **self._views(volume, boxes, sub_boxes)}
        finally:
            set_track_meta(tracked)

    def _views(self, volume: Tensor, boxes: Sequence[Box], sub_boxes: Sequence[Box]) -> dict[Hashable, Any]:
        views = [self._cut(volume, box, self.resize) for box in boxes]
        subs = [self._cut(volume, box, self.resize_sub) for box in sub_boxes]
        one, other = (_plain(self.intensity(view.clone())) for view in views)
        changed = [_plain(self.sub_intensity(sub.clone())) for sub in subs]
        return {
            "view_1": one,
            "view_2": other,
            "target": views[0],
            "sub_crops": torch.stack(changed) if changed else torch.empty(0),
        }

    def _size(self, volume: Tensor) -> tuple[int, ...]:
        """Of the volume that crops are cut from: `(depth, height, width)`."""
        return tuple(volume.shape[1:])

    def _cut(self, volume: Tensor, box: Box, resize: Resize) -> Tensor:
        return _plain(self.spatial(resize(volume[(slice(None), *box)].clone())))

    def _one_of(self, sizes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        return sizes[int(self.R.randint(len(sizes)))]

    def _box(self, box_size: Size, first: Size, stop: Size, size: Size) -> Box:
        """A box that begins at a voxel of `first … stop - 1` of the volume, moved inside where it would end outside."""
        sides = []
        for n, low, high, side in zip(box_size, first, stop, size, strict=True):
            start = min(int(self.R.randint(max(low, 0), min(high, side))), side - n)
            sides.append(slice(start, start + n))
        return sides[0], sides[1], sides[2]


def _plain(view: Tensor) -> Tensor:
    return convert_to_tensor(view, track_meta=False)
