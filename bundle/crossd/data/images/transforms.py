"""From the name of an image to what a 2D network sees."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from crossd.data.images.store import ImageStore
from crossd.errors import CrossDError


class ReadImage2Dd(MapTransform):
    """`(source, name)` → the image that the store reads, `(channel, height, width)` uint8."""

    def __init__(self, keys: KeysCollection, store: ImageStore) -> None:
        super().__init__(keys)
        self.store = store

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.keys:
            d[key] = torch.from_numpy(self.store.read(*d[key]))
        return d


def resized_crop(image: Tensor, box: Sequence[int], size: int) -> Tensor:
    """A part of an image `(channel, height, width)` as a square `(channel, size, size)`, float32.

    It is bilinear, and smoothed where it shrinks. `box` is first row, first column, height and width, in pixels.

    >>> resized_crop(torch.arange(16).reshape(1, 4, 4), (0, 0, 2, 2), 2).tolist()
    [[[0.0, 1.0], [4.0, 5.0]]]
    """
    top, left, height, width = box
    part = image[None, :, top : top + height, left : left + width].float()
    if (height, width) == (size, size):
        return part[0]
    return F.interpolate(part, (size, size), mode="bilinear", antialias=height > size or width > size)[0]


class RandResizedCropd(RandomizableTransform, MapTransform):
    """A random part of the image, of random size and aspect, as a square: Inception's augmentation.

    Source: Szegedy et al., "Going deeper with convolutions" (CVPR 2015), section 6, with the constants that ImageNet
    recipes use since. MONAI's `RandSpatialCrop` draws the sides, not area and aspect, and resizes in a second step.

    Args:
        keys: images `(channel, height, width)`; they get the same crop.
        size: of the result's sides.
        scale: share of the image's area, smallest and largest.
        ratio: width / height, smallest and largest; drawn evenly on a logarithmic scale.
        flip_axes: mirrored with probability 1/2 each: 0 height, 1 width. (MONAI's `RandFlip` takes longer than crop and
            resize together, for the history it keeps of each image.)

    >>> transform = RandResizedCropd("image", size=8).set_random_state(seed=0)
    >>> transform({"image": torch.zeros(1, 20, 30, dtype=torch.uint8)})["image"].shape
    torch.Size([1, 8, 8])
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: int,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip_axes: Sequence[int] = (),
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=1.0)
        for name, values, most in (("scale", scale, 1.0), ("ratio", ratio, math.inf)):
            if len(values) != 2 or not 0 < values[0] <= values[1] <= most:
                limit = "0 < smallest <= largest" + (" <= 1" if most == 1 else "")
                raise CrossDError(f"crop_{name} must be two numbers with {limit}, got {list(values)}.")
        if not set(flip_axes) <= {0, 1}:
            raise CrossDError(f"flip_axes of images are 0 (height) and 1 (width), got {list(flip_axes)}.")
        self.size = size
        self.scale = scale
        self.flip_axes = list(flip_axes)
        self.log_ratio = (math.log(ratio[0]), math.log(ratio[1]))

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """A random part of an image of this size: first row, first column, height, width."""
        area = height * width
        for _ in range(10):
            part = area * self.R.uniform(self.scale[0], self.scale[1])
            aspect = math.exp(self.R.uniform(*self.log_ratio))
            h, w = round(math.sqrt(part / aspect)), round(math.sqrt(part * aspect))
            if 0 < h <= height and 0 < w <= width:
                return int(self.R.randint(height - h + 1)), int(self.R.randint(width - w + 1)), h, w
        return centre_box(height, width, 1.0)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        box = self.box(*d[self.keys[0]].shape[1:])
        mirrored = [axis + 1 for axis in self.flip_axes if self.R.random_sample() < 0.5]
        for key in self.keys:
            d[key] = resized_crop(d[key], box, self.size).flip(mirrored)
        return d


def centre_box(height: int, width: int, share: float) -> tuple[int, int, int, int]:
    """The square in the middle whose sides are this share of the image's shorter side.

    >>> centre_box(10, 20, 1.0)
    (0, 5, 10, 10)
    """
    side = max(1, round(min(height, width) * share))
    return (height - side) // 2, (width - side) // 2, side, side


class CentreResizedCropd(MapTransform):
    """The middle of an image `(channel, height, width)` as a square of sides `size`, for validation.

    `share` is of the shorter side that is seen; 0.875 is the 224 of 256 of ImageNet recipes.

    >>> CentreResizedCropd("image", 8)({"image": torch.zeros(1, 20, 30)})["image"].shape
    torch.Size([1, 8, 8])
    """

    def __init__(self, keys: KeysCollection, size: int, share: float = 0.875) -> None:
        super().__init__(keys)
        if not 0 < share <= 1:
            raise CrossDError(f"val_crop must be a share of the shorter side, above 0 and at most 1, got {share}.")
        self.size = size
        self.share = share

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.keys:
            d[key] = resized_crop(d[key], centre_box(d[key].shape[1], d[key].shape[2], self.share), self.size)
        return d
