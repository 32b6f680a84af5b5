"""The two sides of joint pre-training: cases that are read and scaled, and what makes views of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.data import CacheDataset, Dataset
from monai.transforms import Compose

from crossd.data.delimited import write_table
from crossd.errors import CrossDError
from crossd.processes import rank
from crossd.ssl.image_views import ImageViewsd
from crossd.ssl.unlabelled_images import image_preprocessing
from crossd.ssl.unlabelled_volumes import volume_preprocessing
from crossd.ssl.views import GlobalAndSubCropsd
from crossd.training.readable import readable_cases

logger = logging.getLogger(__name__)


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
    images: Mapping[str, Any] | None,
    windows: Mapping[str, Any],
    sizes: Mapping[str, Any],
    sub_crops: int,
    min_iou: float,
    spatial: Compose | None = None,
    intensity: Compose | None = None,
    sub_intensity: Compose | None = None,
) -> Side | None:
    """Images, unrolled by windows.

    Args:
        images: of `unlabelled_images`; None for no such side.
        windows: of `window_options`.
        sizes: of `image_sizes`.
        sub_crops, min_iou, spatial, intensity, sub_intensity: as for `ImageViewsd`.

    Raises:
        CrossDError: when the windows do not fit the images, or the crops the windows.
    """
    if images is None:
        return None
    changes: dict[str, Any] = {"spatial": spatial, "intensity": intensity, "sub_intensity": sub_intensity}
    views = ImageViewsd("image", **windows, **sizes, sub_crops=sub_crops, min_iou=min_iou, **changes)
    cases = Dataset(images["items"], image_preprocessing(images["store"], windows["image_size"]))
    return Side(images["items"], cases, views)


def volume_side(
    volumes: Sequence[Mapping[str, Any]] | None,
    input: Mapping[str, Any],
    sizes: Mapping[str, Any],
    sub_crops: int,
    min_iou: float,
    series: Any = None,
    tilt: str = "correct",
    output_dir: str | None = None,
    skip_unreadable: bool = False,
    cache_gb: float = 4,
    num_workers: int = 0,
    spatial: Compose | None = None,
    intensity: Compose | None = None,
    sub_intensity: Compose | None = None,
) -> Side | None:
    """Volumes, each tried once before the run.

    Args:
        volumes: of `unlabelled_volumes`; None for no such side.
        input: with channels, plane, spacing and intensity.
        sizes: of `volume_sizes`.
        sub_crops, min_iou, spatial, intensity, sub_intensity: as for `GlobalAndSubCropsd`.
        series, tilt: of DICOM.
        output_dir, skip_unreadable, num_workers: as for `crossd.training.readable_cases`.
        cache_gb: memory for preprocessed volumes; what does not fit is read again whenever it is drawn.

    Raises:
        CrossDError: for volumes that cannot be read, unless they are skipped.
    """
    if volumes is None:
        return None
    views = GlobalAndSubCropsd(
        "image",
        **sizes,
        sub_crops=sub_crops,
        min_iou=min_iou,
        spatial=spatial,
        intensity=intensity,
        sub_intensity=sub_intensity,
    )
    crops = [*views.crop_sizes, *(views.sub_crop_sizes if sub_crops else ())]
    transform = volume_preprocessing(input, crops, series, tilt)
    tried = readable_cases(
        {"train": volumes}, transform, output_dir, skip_unreadable, num_workers, ("train",), cache_gb
    )
    cases = CacheDataset(tried["train"], transform, cache_rate=tried["cache_rate"], progress=False)
    return Side(tried["train"], cases, views)


def present(images: Side | None, volumes: Side | None) -> dict[str, Side]:
    """The sides there are, by kind.

    Raises:
        CrossDError: when there is none.
    """
    sides = {kind: side for kind, side in (("images", images), ("volumes", volumes)) if side is not None}
    if not sides:
        raise CrossDError(
            "Pre-training needs images or volumes, got --images none and --volumes none. Leave one of them out."
        )
    return sides


def write_cases(output_dir: str | None, sides: Mapping[str, Any], images: Mapping[str, Any] | None) -> None:
    """Write `cases.csv` (kind, case, source) of all that is trained on, and `skipped_images.csv` if need be.

    Of several processes the first does.

    Args:
        output_dir: of the run.
        sides: by kind.
        images: of `unlabelled_images`, for those that were skipped.

    Raises:
        CrossDError: without a folder.
    """
    if output_dir is None:
        raise CrossDError("Training needs a folder for what it writes, got none. Pass --output_dir DIR.")
    if rank() != 0:
        return
    rows = [(kind, item["case"], str(item.get("source", ""))) for kind, side in sides.items() for item in side.items]
    write_table(Path(output_dir) / "cases.csv", ("kind", "case", "source"), rows)
    skipped = (images or {}).get("skipped", [])
    path = Path(output_dir) / "skipped_images.csv"
    if skipped:
        write_table(path, ("source", "image", "reason"), skipped)
        logger.warning("%d images cannot be read and are left out: see %s", len(skipped), path)
    else:
        path.unlink(missing_ok=True)
