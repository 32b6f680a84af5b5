"""The views of a 2D image: crops of its pseudo-3D volume, each changed in space while it still is an image."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import Compose, Resize
from monai.utils import convert_to_tensor
from torch import Tensor

from crossd.pseudo3d import Pseudo3D
from crossd.pseudo3d.windows import pseudo_3d, window_grid
from crossd.ssl.crop_views import Box, GlobalAndSubCropsd, spatial_changes


class ImageViewsd(GlobalAndSubCropsd):
    """An image as the views that PCRLv2 compares: `GlobalAndSubCropsd` of its pseudo-3D volume.

    Depth of a pseudo-3D volume counts the pixels of a window and is no axis of the body. Rotating such a volume out of
    plane would mix windows with their own pixels, and even in plane it would turn the windows but not what is in them.
    So each crop's spatial change is made on the patch of the image that the crop is computed from, and the windows are
    taken after that: every view is a true pseudo-3D volume of a rotated, scaled or mirrored image. (Ours: the paper
    does not say what it changes, and where.)

    Crops are resized in plane only: `crop_sizes` and `sub_crop_sizes` have the depth of `roi_size` and `sub_roi_size`.

    Args:
        keys: one image, `(channel, height, width)` in [0, 1].
        kernel_size, stride, padding: of the windows, pixels, as in `crossd.Pseudo3D`.
        image_size: the shorter side of the images, pixels, by which the sizes are checked before any is read; None: by
            each image.
        spatial: changes `(channel, height, width)`; None for `spatial_changes(2)`.
        views: further arguments of `GlobalAndSubCropsd`.

    Raises:
        CrossDError: for a window larger than the image, a crop deeper than `kernel_size²` or wider than the windows.

    >>> sizes = dict(crop_sizes=[(16, 24, 24)], sub_roi_size=(8, 8, 8), sub_crop_sizes=[(8, 12, 12)])
    >>> views = ImageViewsd("image", 4, 2, 1, roi_size=(16, 16, 16), **sizes, sub_crops=2).set_random_state(seed=0)
    >>> items = views({"image": torch.rand(1, 80, 64)})
    >>> {name: tuple(item.shape) for name, item in items.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'view_1': (1, 16, 16, 16), 'view_2': (1, 16, 16, 16), 'target': (1, 16, 16, 16), 'sub_crops': (2, 1, 8, 8, 8)}
    """

    def __init__(
        self,
        keys: KeysCollection,
        kernel_size: int,
        stride: int,
        padding: int,
        image_size: int | None = None,
        *,
        spatial: Compose | None = None,
        **views: Any,
    ) -> None:
        super().__init__(keys, spatial=spatial or spatial_changes(2), **views)
        self.windows = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
        every = [*self.crop_sizes, *(self.sub_crop_sizes if self.sub_crops else ())]
        largest = [max(crop[axis] for crop in every) for axis in range(3)]
        check = Pseudo3D(**self.windows, roi_size=largest)
        if image_size is not None:
            check(torch.zeros(1, image_size, image_size))

    def _size(self, volume: Tensor) -> tuple[int, ...]:
        return (self.windows["kernel_size"] ** 2, *window_grid(volume.shape[1:], **self.windows))

    def _cut(self, volume: Tensor, box: Box, resize: Resize) -> Tensor:
        depth, *sides = box
        kernel_size, stride, padding = self.windows.values()
        rows, columns = (slice(side.start * stride, (side.stop - 1) * stride + kernel_size) for side in sides)
        patch = F.pad(volume, (padding,) * 4)[:, rows, columns]
        changed = convert_to_tensor(self.spatial(patch.clone()), track_meta=False)
        return convert_to_tensor(resize(pseudo_3d(changed, kernel_size, stride, padding=0)[:, depth]), track_meta=False)
