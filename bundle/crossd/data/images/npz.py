"""A MedMNIST file of 2D images."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from crossd.data.images.image_files import to_channels
from crossd.data.images.sources import SPLITS, ImageRecord, ImageSource
from crossd.data.npz_arrays import medmnist_split, npz_keys
from crossd.errors import CrossDError


class NpzSource(ImageSource):
    """The train and val images of a MedMNIST `.npz`, held in memory as stored; its test split is not read.

    The layout is that of `medmnist_split`, with one class an image. The file names no classes: they are the numbers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.arrays: dict[str, np.ndarray] = {}
        self.records = []
        for split in SPLITS:
            self._add(split)
        self.notes = ["its test split is left alone"] * ("test_images" in npz_keys(path))
        self.class_names = sorted({record.label for record in self.records}, key=int)

    def _add(self, split: str) -> None:
        images, labels = medmnist_split(self.path, split, 2)
        if labels.size != len(labels) or labels.dtype.kind not in "iub":
            raise CrossDError(
                f"{split}_labels is one whole number per image, (N,) or (N, 1), got {labels.shape} {labels.dtype} for "
                f"{images.shape[0]} images in {self.path}. Sets of several labels an image are not for this training."
            )
        self.arrays[split] = images.load()
        self.records += [
            ImageRecord(f"{split}/{index}", str(int(label)), split) for index, label in enumerate(labels.reshape(-1))
        ]

    def held_out(self) -> NpzSource:
        held = copy.copy(self)
        held.arrays, held.records = {}, []
        if {"test_images", "test_labels"} <= set(npz_keys(self.path)):
            held._add("test")
        return held

    def read(self, name: str, channels: int = 1) -> np.ndarray:
        split, _, index = name.partition("/")
        return to_channels(self.arrays[split][int(index)], channels)
