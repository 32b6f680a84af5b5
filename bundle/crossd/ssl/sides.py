"""The two sides of joint pre-training: cases that are read and scaled, and what makes views of them."""

from __future__ import annotations

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
    """Images of `unlabelled_images`, unrolled by windows of `window_options`; None where there are none.

    `sizes` are those of `image_sizes`, `views` further arguments of `ImageViewsd`.

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

    Args:
        images: of `unlabelled_images`, for those that were skipped.
    """
    folder = run_folder(output_dir)
    if rank() == 0:
        rows = [
            (kind, case["case"], str(case.get("source", ""))) for kind, side in sides.items() for case in side.items
        ]
        write_table(folder / "cases.csv", ("kind", "case", "source"), rows)
        write_skipped(folder / "skipped_images.csv", (images or {}).get("skipped", []))
