"""Images without labels: every image of a folder, zip, array file or list that is not held out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from monai.transforms import Compose, MapTransform
from torch import Tensor

from crossd.data.images import ImageStore, ReadImage2Dd, open_source
from crossd.data.images.chest_xray14 import TABLE, tables
from crossd.data.images.image_files import ImageTree, decode_image, is_image, to_channels, tree_of
from crossd.data.images.sources import ImageRecord, ImageSource
from crossd.data.images.store import limited, try_images
from crossd.data.splits import split_called
from crossd.errors import CrossDError
from crossd.ssl.unlabelled_volumes import named_sources, training_array

logger = logging.getLogger(__name__)


def training_names(names: Sequence[str]) -> list[str]:
    """The images of a tree that may be trained on: those below `train` where there is such a folder, all otherwise.

    It may be spelled as in `crossd.data.splits.split_called`.

    >>> training_names(["set/train/ct/1.png", "set/test/ct/2.png", "set/readme.txt"])
    ['set/train/ct/1.png']
    >>> training_names(["Training/ct/1.png", "Testing/ct/2.png"])
    ['Training/ct/1.png']
    >>> training_names(["ct/1.png", "2.png"])
    ['2.png', 'ct/1.png']
    """
    images = sorted(name for name in names if is_image(name))
    depth = next((d for d in range(3) if any(split_called(_part(name, d)) == "train" for name in images)), None)
    return images if depth is None else [name for name in images if split_called(_part(name, depth)) == "train"]


def _part(name: str, depth: int) -> str:
    """A folder on the way to a file."""
    parts = name.split("/")[:-1]
    return parts[depth] if depth < len(parts) else ""


class EveryImage(ImageSource):
    """All images of a tree, whatever their folders are called; see `training_names`."""

    def __init__(self, tree: ImageTree) -> None:
        self.tree, self.path, self.class_names, self.notes = tree, tree.path, [], []
        self.records = [ImageRecord(name, "") for name in training_names(tree.listed()[0])]

    def read(self, name: str, channels: int = 1) -> np.ndarray:
        return decode_image(self.tree.read(name), channels)


class EveryRow(ImageSource):
    """The array `train_images`, or `images`, of a `.npz`: `(N, height, width)` or `(N, height, width, 3)`."""

    def __init__(self, path: Path) -> None:
        self.path, self.class_names, self.notes = path, [], []
        self.array = training_array(str(path))
        if self.array.ndim not in (3, 4) or (self.array.ndim == 4 and self.array.shape[3] not in (1, 3)):
            raise CrossDError(
                f"Images are (N, height, width) or (N, height, width, 3), got {self.array.shape} in {path}. Volumes "
                "are given by --volumes."
            )
        self.records = [ImageRecord(str(index), "") for index in range(len(self.array))]

    def read(self, name: str, channels: int = 1) -> np.ndarray:
        return to_channels(self.array[int(name)], channels)


def _source(path: str, image_root: str | None) -> ImageSource:
    where = Path(path).expanduser()
    kind = where.suffix.lower() if where.is_file() else ""
    if where.name.startswith(TABLE) or (where.is_dir() and tables(where)) or kind == ".csv":
        return open_source(where, image_root)  # their lists say what is held out
    if where.is_dir() or kind == ".zip":
        return EveryImage(tree_of(where))
    if kind != ".npz":
        raise CrossDError(
            f"Images come from a folder, a .zip, a .npz or a .csv list that exists, got {where}. Check --images."
        )
    return EveryRow(where)


def unlabelled_images(
    images: str | Sequence[str] | None,
    *,
    image_root: str | None = None,
    channels: int = 1,
    limit: int | None = None,
    seed: int = 0,
    check_images: bool = True,
    cache_gb: float = 4,
    num_workers: int = 0,
) -> dict[str, Any] | None:
    """The images of one source or several; labels are not needed and not looked at.

    Held-out images are never taken: of a tree with a folder `train` only what lies below it, of a `.npz` the array
    `train_images` (or `images`), of a list the rows that are not val or test, of ChestX-ray14 those of its
    `train_val_list.txt`.

    Args:
        images: folders, `.zip`, `.npz` or `.csv`; `"none"` for none.
        image_root: where the names in a list start from, where that is not beside the list.
        channels: 1 or 3.
        limit: take so many at random; None: all.
        check_images: read every image first; those that cannot be read are left out.

    Returns:
        `"items"`: `{"image": (source, name), "case": text}`; `"store"`, which reads them; `"skipped"`: rows (source,
        image, reason). None for `"none"`.

    Raises:
        CrossDError: when no images are named, or none can be read.
    """
    given = named_sources(images, "images", "volumes", ".zip or .npz")
    if given is None:
        return None
    sources = [_source(str(path), image_root) for path in given]
    keys = [(i, r.name) for i, source in enumerate(sources) for r in source.records if r.split in (None, "train")]
    if not keys:
        raise CrossDError(
            f"Pre-training needs images, got an empty side: none in {', '.join(map(str, given))}. Pass the folder that "
            "holds them, or --images none to train on volumes only."
        )
    keys = [keys[k] for k in limited([""] * len(keys), limit, seed)]
    store = ImageStore(sources, channels, cache_gb)
    tried = try_images(store, keys, num_workers, check_images)
    items = [
        {"image": (i, name), "case": f"{sources[i].path.name}/{name}"} for i, name in (keys[k] for k in tried.readable)
    ]
    logger.info("%d images, %d cannot be read", len(items), len(tried.skipped))
    return {"items": items, "store": store, "skipped": tried.skipped}


class ShorterSided(MapTransform):
    """8-bit images `(channel, height, width)` in [0, 1], their shorter side resized to so many pixels.

    >>> import torch
    >>> ShorterSided("image", 8)({"image": torch.full((1, 16, 32), 255, dtype=torch.uint8)})["image"].shape
    torch.Size([1, 8, 16])
    """

    def __init__(self, keys: str, size: int) -> None:
        super().__init__(keys)
        self.size = size

    def __call__(self, data: Any) -> dict[Any, Any]:
        d = dict(data)
        for key in self.keys:
            image: Tensor = d[key].float() / 255
            shorter = min(image.shape[1:])
            if shorter != self.size:
                target = [max(self.size, round(side * self.size / shorter)) for side in image.shape[1:]]
                image = F.interpolate(image[None], target, mode="bilinear", antialias=shorter > self.size)[0]
            d[key] = image.clamp(0, 1)
        return d


def image_preprocessing(store: ImageStore, image_size: int) -> Compose:
    """From an item of `unlabelled_images` to `(channel, height, width)` in [0, 1]."""
    return Compose([ReadImage2Dd("image", store), ShorterSided("image", image_size)])
