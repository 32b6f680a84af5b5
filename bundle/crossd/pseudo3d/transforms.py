"""The pseudo-3D transformation as MONAI transforms: with metadata, invertible, for items and for batches."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor, decollate_batch, get_track_meta
from monai.data.utils import collate_meta_tensor_fn, to_affine_nd
from monai.transforms import InvertibleTransform, MapTransform
from monai.transforms.lazy.functional import apply_pending
from monai.utils import TraceKeys, TransformBackends, convert_to_tensor
from torch import Tensor

from crossd.errors import CrossDError
from crossd.pseudo3d.windows import check_windows, pseudo_3d, pseudo_3d_inverse, window_grid


class Pseudo3D(InvertibleTransform):
    """Images as volumes, `(channel, height, width)` to `(channel, kernel_size², height', width')`; see `pseudo_3d`.

    Args:
        kernel_size, stride, padding, depth_axis: as for `pseudo_3d`.
        roi_size: the crop that will be taken of the volumes, in their axis order. Nothing is cropped here: what would
            be too small for it is refused. None: no such check.

    The defaults are ours; the paper publishes none. They make 64 × 64 of 128 × 128 pixels, four voxels a pixel.

    Pending operations (lazy resampling) are carried out before. The affine of the result leads to the middle of each
    window; depth counts pixels within a window and has no place in the world, so it gets the image's third axis. The
    inverse gives back shape, affine and pixels, and puts True into `meta["uncovered"]`, `(height, width)`, where no
    window reached and the image is 0 now. Batches of MONAI's DataLoader are taken item by item, plain tensors
    `(batch, channel, height, width)` as a whole and without metadata.

    >>> transform = Pseudo3D(kernel_size=4, stride=2, padding=1)
    >>> image = torch.rand(3, 128, 96)
    >>> volume = transform(image)
    >>> volume.shape
    torch.Size([3, 16, 64, 48])
    >>> bool((transform.inverse(volume) == image).all())
    True
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  (MONAI's own attribute)

    def __init__(
        self,
        kernel_size: int = 4,
        stride: int = 2,
        padding: int = 1,
        depth_axis: int = 0,
        roi_size: Sequence[int] | None = None,
    ) -> None:
        check_windows(kernel_size, stride, padding, depth_axis)
        self.windows = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
        self.depth_axis = depth_axis
        self.roi_size = None if roi_size is None else tuple(roi_size)
        if self.roi_size is None:
            return
        if len(self.roi_size) != 3 or min(self.roi_size) < 1:
            raise CrossDError(f"`roi_size` must be three sizes, 1 or more, got {roi_size}. Example: [16, 64, 64].")
        depth, needed = kernel_size * kernel_size, self.roi_size[depth_axis]
        if depth < needed:
            enough = math.isqrt(needed - 1) + 1
            raise CrossDError(
                f"The crop must fit into the pseudo-3D depth, kernel_size²: kernel_size {kernel_size} gives {depth}, "
                f"the crop {list(self.roi_size)} asks for {needed}. Pass kernel_size {enough} (depth {enough**2}), or "
                f"a crop of depth {depth} or less."
            )

    def __call__(self, img: NdarrayOrTensor) -> Tensor:
        """The volume of an image, or the volumes of a batch.

        Raises:
            CrossDError: for what is no image, and for images too small for the window or for `roi_size`.
        """
        if isinstance(img, MetaTensor) and img.is_batch:
            return collate_meta_tensor_fn([self(item) for item in decollate_batch(img, detach=False)])
        plain_batch = not isinstance(img, MetaTensor) and img.ndim == 4
        image = convert_to_tensor(img, track_meta=get_track_meta() and not plain_batch)
        if isinstance(image, MetaTensor) and image.has_pending_operations:
            image = apply_pending(image.clone())[0]  # on a copy: it clears the list of what it is given
        if image.ndim != (4 if plain_batch else 3):
            raise CrossDError(
                f"Pseudo3D takes images, (channel, height, width), got the shape {tuple(image.shape)}. Add a channel "
                "with EnsureChannelFirst; a volume needs no pseudo-3D transformation."
            )
        size = (int(image.shape[-2]), int(image.shape[-1]))
        grid = window_grid(size, **self.windows)
        self._check_roi(size, grid)
        volume = pseudo_3d(image, **self.windows, depth_axis=self.depth_axis)
        if not isinstance(image, MetaTensor):
            return volume
        result = MetaTensor(volume).copy_meta_from(image)
        result.affine = to_affine_nd(3, image.affine) @ self._to_pixels()
        made = {**self.windows, "depth_axis": self.depth_axis, "affine": image.affine}
        return self.push_transform(result, orig_size=size, extra_info=made)

    def inverse(self, data: Tensor) -> Tensor:
        """The image of a volume, by the mean over windows; `meta["uncovered"]` is True where no window was.

        Raises:
            CrossDError: for a tensor that does not know what image it came from.
        """
        if not isinstance(data, MetaTensor):
            raise CrossDError(
                "The inverse reads the image's size from the metadata of a MetaTensor, got a plain "
                f"{type(data).__name__}. Use crossd.pseudo_3d_inverse(volumes, image_size, …)."
            )
        if data.is_batch:
            return collate_meta_tensor_fn([self.inverse(item) for item in decollate_batch(data, detach=False)])
        volume = MetaTensor(data.as_tensor()).copy_meta_from(data)  # the list of what was done to `data` stays as it is
        info = self.pop_transform(volume)
        made = dict(info[TraceKeys.EXTRA_INFO])
        affine = made.pop("affine")
        image, uncovered = pseudo_3d_inverse(volume, info[TraceKeys.ORIG_SIZE], **made)
        result = MetaTensor(image).copy_meta_from(volume)
        result.affine = affine
        result.meta["uncovered"] = uncovered
        return result

    def _check_roi(self, image_size: tuple[int, int], grid: tuple[int, int]) -> None:
        if self.roi_size is None:
            return
        needed = self.roi_size[1:] if self.depth_axis == 0 else self.roi_size[:2]
        if grid[0] < needed[0] or grid[1] < needed[1]:
            raise CrossDError(
                f"The crop must fit into the windows: an image of {image_size[0]} × {image_size[1]} pixels gives "
                f"{grid[0]} × {grid[1]} windows of {self.windows}, the crop {list(self.roi_size)} asks for "
                f"{needed[0]} × {needed[1]}. Resize the images, pass a smaller stride, or a smaller crop."
            )

    def _to_pixels(self) -> Tensor:
        """From an index into the volume to the pixel in the middle of its window: (row, column, depth, 1), 4 × 4."""
        depth, row, column = (0, 1, 2) if self.depth_axis == 0 else (2, 0, 1)
        matrix = torch.zeros(4, 4, dtype=torch.float64)
        matrix[0, row] = matrix[1, column] = self.windows["stride"]
        matrix[2, depth] = matrix[3, 3] = 1
        matrix[:2, 3] = (self.windows["kernel_size"] - 1) / 2 - self.windows["padding"]
        return matrix


class Pseudo3Dd(MapTransform, InvertibleTransform):
    """`Pseudo3D` of entries of a dictionary, images `(channel, height, width)`.

    >>> Pseudo3Dd("image", kernel_size=8, stride=8, padding=0)({"image": torch.rand(1, 512, 512)})["image"].shape
    torch.Size([1, 64, 64, 64])
    """

    backend = Pseudo3D.backend

    def __init__(
        self,
        keys: KeysCollection,
        kernel_size: int = 4,
        stride: int = 2,
        padding: int = 1,
        depth_axis: int = 0,
        roi_size: Sequence[int] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.transform = Pseudo3D(kernel_size, stride, padding, depth_axis, roi_size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Each image as a volume."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.transform(d[key])
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Each volume as an image again."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.transform.inverse(d[key])
        return d
