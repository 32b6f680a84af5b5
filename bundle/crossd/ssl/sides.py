"""The two sides of joint pre-training: sizes of their views, cases that are read, and what makes views of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai.data import CacheDataset, Dataset

from crossd.data.delimited import write_table
from crossd.errors import CrossDError
from crossd.processes import rank
from crossd.ssl.crop_views import GlobalAndSubCropsd
from crossd.ssl.image_views import ImageViewsd
from crossd.ssl.unlabelled_images import image_preprocessing
from crossd.ssl.unlabelled_volumes import volume_preprocessing
from crossd.training.readable import readable_cases
from crossd.training.run_files import run_folder, write_skipped

# Published sizes (`crossd.ssl.crop_views`) are for whole chest CTs; these shares are ours.
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
    """The sizes of `GlobalAndSubCropsd`, `(depth, height, width)` in voxels; those not given are shares of `roi_size`.

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


@dataclass(frozen=True)
class Side:
    """Images, or volumes.

    Attributes:
        items: of the cases, as they are listed.
        cases: data set of `"image"`, `(channel, …)` in [0, 1], and `"case"`.
        views: the transform from such an item to views.
    """

    items: Sequence[Mapping[str, Any]]
    cases: Any
    views: Any


def image_side(
    images: Mapping[str, Any] | None, windows: Mapping[str, Any], sizes: Mapping[str, Any], **views: Any
) -> Side | None:
    """Images of `unlabelled_images`, by `window_options`, `image_sizes` and further arguments of `ImageViewsd`.

    Raises:
        CrossDError: when the windows do not fit the images, or the crops the windows.
    """
    if images is None:
        return None
    cases = Dataset(images["items"], image_preprocessing(images["store"], windows["image_size"]))
    return Side(images["items"], cases, ImageViewsd("image", **windows, **sizes, **views))


def volume_side(
    volumes: Sequence[Mapping[str, Any]] | None,
    input: Mapping[str, Any],
    sizes: Mapping[str, Any],
    series: Any = None,
    tilt: str = "correct",
    output_dir: str | None = None,
    skip_unreadable: bool = False,
    cache_gb: float = 4,
    num_workers: int = 0,
    **views: Any,
) -> Side | None:
    """Volumes, each tried once before the run.

    Args:
        volumes: of `unlabelled_volumes`; None for no such side.
        input: with channels, plane, spacing and intensity.
        sizes: of `volume_sizes`.
        output_dir, skip_unreadable, num_workers: as for `crossd.training.readable_cases`.
        cache_gb: memory for preprocessed volumes; what does not fit is read again whenever it is drawn.
        views: further arguments of `GlobalAndSubCropsd`.

    Raises:
        CrossDError: for volumes that cannot be read, unless they are skipped.
    """
    if volumes is None:
        return None
    crops = GlobalAndSubCropsd("image", **sizes, **views)
    largest = [*crops.crop_sizes, *(crops.sub_crop_sizes if crops.sub_crops else ())]
    transform = volume_preprocessing(input, largest, series, tilt)
    tried = readable_cases(
        {"train": volumes}, transform, output_dir, skip_unreadable, num_workers, ("train",), cache_gb
    )
    cases = CacheDataset(tried["train"], transform, cache_rate=tried["cache_rate"], progress=False)
    return Side(tried["train"], cases, crops)


def present(images: Side | None, volumes: Side | None) -> dict[str, Side]:
    """The sides there are, by kind; refused where there is none."""
    sides = {kind: side for kind, side in (("images", images), ("volumes", volumes)) if side is not None}
    if not sides:
        raise CrossDError(
            "Pre-training needs images or volumes, got --images none and --volumes none. Leave one of them out."
        )
    return sides


def write_cases(output_dir: str | None, sides: Mapping[str, Any], images: Mapping[str, Any] | None) -> None:
    """Write `cases.csv` (kind, case, source) of all that is trained on, and `skipped_images.csv` if need be.

    Of several processes the first does.
    """
    folder = run_folder(output_dir)
    if rank() == 0:
        rows = [
            (kind, case["case"], str(case.get("source", ""))) for kind, side in sides.items() for case in side.items
        ]
        write_table(folder / "cases.csv", ("kind", "case", "source"), rows)
        write_skipped(folder / "skipped_images.csv", (images or {}).get("skipped", []))
