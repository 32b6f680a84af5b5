"""Sizes that follow from the size of the views: crops, sub-crops, and the windows that images are unrolled by.

The published sizes (`crossd.ssl.crop_views`) are for whole chest CTs. These shares of `roi_size` are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from crossd.errors import CrossDError

CROP_SHARES = (1.0, 1.25)  # global crops, of roi_size
SUB_ROI_SHARE = 0.5  # sub_roi_size, of roi_size
SUB_CROP_SHARES = (0.5, 1.0, 1.5)  # sub-crops, of sub_roi_size
GRID = 1.5  # windows along an image's shorter side, of the larger side of roi_size in plane

Sizes = Sequence[Sequence[int]]


def volume_sizes(
    roi_size: Sequence[int],
    crop_sizes: Sizes | None = None,
    sub_roi_size: Sequence[int] | None = None,
    sub_crop_sizes: Sizes | None = None,
) -> dict[str, Any]:
    """The sizes of `GlobalAndSubCropsd`, those that are not given as shares of `roi_size`.

    Args:
        roi_size: of the views, `(depth, height, width)` in voxels.
        crop_sizes: what is cut out and resized to it.
        sub_roi_size: of sub-crops.
        sub_crop_sizes: what is cut out and resized to that.

    >>> volume_sizes([32, 32, 32])["crop_sizes"], volume_sizes([32, 32, 32])["sub_roi_size"]
    ([(32, 32, 32), (40, 40, 40)], (16, 16, 16))
    """
    roi = _three("roi_size", roi_size)
    sub_roi = _scaled(roi, SUB_ROI_SHARE) if sub_roi_size is None else _three("sub_roi_size", sub_roi_size)
    return {
        "roi_size": roi,
        "crop_sizes": [_scaled(roi, share) for share in CROP_SHARES] if crop_sizes is None else [*crop_sizes],
        "sub_roi_size": sub_roi,
        "sub_crop_sizes": (
            [_scaled(sub_roi, share) for share in SUB_CROP_SHARES] if sub_crop_sizes is None else [*sub_crop_sizes]
        ),
    }


def image_sizes(
    roi_size: Sequence[int],
    crop_sizes: Sizes | None = None,
    sub_roi_size: Sequence[int] | None = None,
    sub_crop_sizes: Sizes | None = None,
) -> dict[str, Any]:
    """The sizes of `ImageViewsd`: as `volume_sizes`, but crops are given in plane and have the depth of the views.

    So `crop_sizes` and `sub_crop_sizes` are `(height, width)` in windows.

    >>> image_sizes([16, 32, 32])["crop_sizes"]
    [(16, 32, 32), (16, 40, 40)]
    """
    sizes = volume_sizes(roi_size, None, sub_roi_size, None)
    given = {"crop_sizes": (crop_sizes, "roi_size"), "sub_crop_sizes": (sub_crop_sizes, "sub_roi_size")}
    for name, (in_plane, of) in given.items():
        depth = sizes[of][0]
        if in_plane is None:
            sizes[name] = [(depth, *size[1:]) for size in sizes[name]]
            continue
        if any(len(size) != 2 for size in in_plane):
            raise CrossDError(
                f"Crops of images are (height, width), for their depth is that of `{of}`; got {list(in_plane)} for "
                f"`image_{name}`. Example: [[32, 32], [40, 40]]."
            )
        sizes[name] = [(depth, *size) for size in in_plane]
    return sizes


def window_options(
    roi_size: Sequence[int],
    kernel_size: int | None = None,
    stride: int | None = None,
    padding: int | None = None,
    image_size: int | None = None,
) -> dict[str, int]:
    """The windows that images are unrolled by, and the shorter side that images are resized to before.

    What is not given follows: the smallest `kernel_size` whose square is the depth of the views or more; half of it as
    `stride`; half of the rest as `padding`; and the `image_size` that has half as many windows again as the views.

    >>> window_options([16, 64, 64])
    {'kernel_size': 4, 'stride': 2, 'padding': 1, 'image_size': 192}
    """
    depth, *sides = _three("roi_size", roi_size)
    k = math.isqrt(depth - 1) + 1 if kernel_size is None else kernel_size
    s = max(1, k // 2) if stride is None else stride
    p = max(0, (k - s) // 2) if padding is None else padding
    needed = (math.ceil(GRID * max(sides)) - 1) * s + k - 2 * p
    return {"kernel_size": k, "stride": s, "padding": p, "image_size": needed if image_size is None else image_size}


def _three(name: str, size: Sequence[int]) -> tuple[int, ...]:
    if isinstance(size, (int, str)) or len(size) != 3 or min(size) < 1 or any(n != int(n) for n in size):
        raise CrossDError(
            f"`{name}` is (depth, height, width) in whole voxels, 1 or more each, got {size}. Example: [32, 64, 64]."
        )
    return tuple(int(n) for n in size)


def _scaled(size: Sequence[int], share: float) -> tuple[int, ...]:
    return tuple(max(1, round(n * share)) for n in size)
