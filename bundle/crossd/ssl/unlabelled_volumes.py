"""Volumes without labels: every scan of a folder, list or array file that is not held out."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform, SpatialPadd

from crossd.cards.from_weights import is_none
from crossd.data import find_cases, preprocessing
from crossd.data.delimited import read_table
from crossd.data.names import unique_names
from crossd.data.npz_arrays import load_small, npz_keys
from crossd.errors import CrossDError

logger = logging.getLogger(__name__)
WITH_LABEL_MAPS = (("images", "labels"), ("imagesTr", "labelsTr"))  # folders of a segmentation set: scans, label maps


def unlabelled_volumes(
    volumes: str | Sequence[str] | None, *, channels: int | None = 1, series: Any = None, tilt: str = "correct"
) -> list[dict[str, Any]] | None:
    """The volumes of one source or several; labels are not needed and not looked at.

    Held-out volumes are never taken: of a `.csv` with a column `split`, such as the `datalist.csv` of a training run or
    what `scripts/prepare_datalist.py` writes, the rows that say `train`; of a `.npz` the array `train_images` (or
    `images`), `(N, depth, height, width)` or `(N, channel, depth, height, width)`. Of a folder of the Medical
    Segmentation Decathlon's kind, `images` and `labels` (or `imagesTr` and `labelsTr`), the scans, not the label maps.

    Args:
        volumes: folders, files or lists as `crossd.data.find_cases` takes them, or `.npz`; `"none"` for none.
        channels: of every volume; None: any number.
        series, tilt: of DICOM, as for `find_cases`.

    Returns:
        Items of `find_cases`, with `"split": "train"`. None for `"none"`.

    Raises:
        CrossDError: when no volumes are named or found, or one has another number of channels.
    """
    given = named_sources(volumes, "volumes", "images", ".csv or .npz")
    if given is None:
        return None
    found = []
    paths = [Path(str(path)) for path in given]
    for path, name in zip(paths, unique_names(path.name for path in paths), strict=True):
        cases = _of_arrays(path) if path.suffix.lower() == ".npz" else _of_files(path, series, tilt)
        found += [{**case, "case": f"{name}/{case['case']}", "split": "train"} for case in cases]
    if not found:
        raise CrossDError(
            f"Pre-training needs volumes, got an empty side: none in {', '.join(map(str, given))} is for training. "
            "Check the column split, or pass --volumes none to train on images only."
        )
    other = [case for case in found if case["error"] is None and len(case["image"]) != (channels or len(case["image"]))]
    if other:
        raise CrossDError(
            f"Images and volumes go through one network and have the same channels; got channels {channels} and "
            f"{len(other[0]['image'])} in {other[0]['case']} (as {len(other)} of {len(found)} volumes). Pass "
            f"--channels {len(other[0]['image'])} (images have 1 or 3), or volumes with {channels}."
        )
    logger.info("%d volumes", len(found))
    return found


def named_sources(given: Any, side: str, other: str, kinds: str) -> list[Any] | None:
    """What was given as images or as volumes, one source or several, as a list; None for `"none"`.

    Raises:
        CrossDError: where nothing was given.
    """
    if isinstance(given, str) and is_none(given):
        return None
    sources = [given] if isinstance(given, (str, Path)) else list(given or [])
    if not sources:
        raise CrossDError(
            f"Joint pre-training needs {side} beside its {other}, got none. Pass --{side} with a folder, {kinds} (or a "
            f"list of these), or --{side} none to train on {other} only."
        )
    return sources


def _of_files(path: Path, series: Any, tilt: str) -> list[dict[str, Any]]:
    path = path.expanduser()
    for scans, maps in WITH_LABEL_MAPS:
        if (path / scans).is_dir() and (path / maps).is_dir():
            logger.info("%s: the scans in %s, not the label maps in %s", path, scans, maps)
            path = path / scans
    cases = find_cases(path, series, tilt)
    if path.suffix.lower() in (".csv", ".tsv"):
        splits = _splits(path)
        if splits is not None:
            cases = [case for case, split in zip(cases, splits, strict=True) if split == "train"]
    return [case for case in cases if not case.get("skipped")]


def _splits(path: Path) -> list[str] | None:
    """The column `split` of a list, row by row as `find_cases` has them; None where there is none."""
    table = read_table(path, "A list of cases", lower=True)
    return None if table.lacking(["split"]) else [row["split"].lower() for row in table.rows]


def _of_arrays(path: Path) -> list[dict[str, Any]]:
    array = training_array(str(path.expanduser()))
    if array.ndim not in (4, 5):
        raise CrossDError(
            f"Volumes are (N, depth, height, width) or (N, channel, depth, height, width), got {array.shape} in "
            f"{path}. Images are given by --images."
        )
    channels = 1 if array.ndim == 4 else array.shape[1]
    rows = [f"{path}@{index}" for index in range(len(array))]
    return [
        {"case": f"{i}", "source": row, "image": [row] * channels, "warnings": [], "error": None}
        for i, row in enumerate(rows)
    ]


@lru_cache(maxsize=16)
def training_array(path: str) -> np.ndarray:
    """The array `train_images`, or `images`, of a `.npz`."""
    return load_small(path, "train_images" if "train_images" in npz_keys(path) else "images")


class ReadVolumeOrArrayd(MapTransform):
    """What `LoadImageVolumed` reads, and rows of a `.npz`, named `FILE.npz@NUMBER`."""

    def __init__(self, keys: str, read: MapTransform) -> None:
        super().__init__(keys)
        self.read = read

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.keys:
            source = d[key][0]
            file, _, row = str(source).rpartition("@")
            if not file.lower().endswith(".npz"):
                d[key] = self.read({key: d[key]})[key]
                continue
            values = training_array(str(Path(file).expanduser()))[int(row)].astype(np.float32)
            volume = torch.from_numpy(values if values.ndim == 4 else values[None])
            # arrays have no affine, and such volumes keep their own axes, which files have in the other order
            meta = {"filename_or_obj": str(source), "original_channel_dim": 0, "has_affine": False, "warnings": ""}
            d[key] = MetaTensor(volume.permute(0, 3, 2, 1).contiguous(), meta=meta)
        return d


def volume_preprocessing(
    card_input: Mapping[str, Any], crop_sizes: Sequence[Sequence[int]], series: Any = None, tilt: str = "correct"
) -> Compose:
    """From an item of `unlabelled_volumes` to `(channel, depth, height, width)` in [0, 1].

    Args:
        card_input: with channels, plane, spacing and intensity, as for `crossd.data.preprocessing`.
        crop_sizes: smaller volumes are padded with 0 until the largest of these fits.
    """
    chain = preprocessing({**card_input, "mean": 0.0, "std": 1.0}, series=series, tilt=tilt).transforms
    largest = [max(size[axis] for size in crop_sizes) for axis in range(3)]
    return Compose([ReadVolumeOrArrayd("image", chain[0]), *chain[1:], SpatialPadd("image", spatial_size=largest)])
