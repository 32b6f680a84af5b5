"""A MedMNIST file of 2D images."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from crossd.data.images.decoding import to_channels
from crossd.data.images.sources import SPLITS, ImageRecord, ImageSource
from crossd.data.npz_arrays import load_small, npz_keys
from crossd.errors import CrossDError


class NpzSource(ImageSource):
    """The train and val images of a MedMNIST `.npz`; its test split is never touched.

    Source: Yang et al., MedMNIST v2 (Scientific Data 2023): arrays `{train,val,test}_images` `(N, height, width)`,
    grey, or `(N, height, width, 3)`, and `{train,val,test}_labels` `(N, 1)`, here also `(N,)`. The file has no names of
    classes, so they are the numbers.

    The images are held in memory, as stored.

    Raises:
        CrossDError: when the file, or an array that is needed, is not there or not as described.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.arrays: dict[str, np.ndarray] = {}
        self.records = []
        self.notes = []
        have = npz_keys(path)
        wanted = [f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels")]
        missing = [name for name in wanted if name not in have]
        if missing:
            raise CrossDError(
                f"A MedMNIST file holds {', '.join(wanted)}, got {path} without {', '.join(missing)} (it has "
                f"{', '.join(have)}). Write the arrays under these names."
            )
        for split in SPLITS:
            self._add(split, load_small(path, f"{split}_images"), load_small(path, f"{split}_labels"))
        if "test_images" in have:
            self.notes.append("its test split is left alone")
        self.class_names = sorted({record.label for record in self.records}, key=int)

    def _add(self, split: str, images: np.ndarray, labels: np.ndarray) -> None:
        if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
            raise CrossDError(
                f"{split}_images of 2D images is (N, height, width) or (N, height, width, 3), got {images.shape} in "
                f"{self.path}. Volumes are trained on by configs/train.json."
            )
        single = labels.ndim == 1 or (labels.ndim == 2 and labels.shape[1] == 1)
        if not single or len(labels) != len(images) or labels.dtype.kind not in "iub":
            raise CrossDError(
                f"{split}_labels is one whole number per image, (N,) or (N, 1), got {labels.shape} {labels.dtype} for "
                f"{len(images)} images in {self.path}. Sets of several labels an image are not for this training."
            )
        self.arrays[split] = images
        self.records += [
            ImageRecord(f"{split}/{index}", str(int(label)), split) for index, label in enumerate(labels.reshape(-1))
        ]

    def held_out(self) -> NpzSource:
        held = copy.copy(self)
        held.arrays, held.records = {}, []
        if {"test_images", "test_labels"} <= set(npz_keys(self.path)):
            held._add("test", *(load_small(self.path, f"test_{kind}") for kind in ("images", "labels")))
        return held

    def read(self, name: str, channels: int = 1) -> np.ndarray:
        split, _, index = name.partition("/")
        return to_channels(self.arrays[split][int(index)], channels)
