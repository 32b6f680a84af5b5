"""Tiny labelled volumes, where one class is empty and the other holds a bright cube, and tiny labelled images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ..configs import cubes


@pytest.fixture(scope="session")
def small():
    """Options of pretrain_2d.json with which an epoch takes a fraction of a second."""
    return {"depth": 10, "width": 4, "image_size": 16, "batch_size": 8, "tensorboard": False, "progress": False}


@pytest.fixture(scope="session")
def make_images():
    """Makes `train` and `val` with the class folders bar and dot: 24 x 20 noisy pixels with a bright bar or square."""

    def make(folder, train=12, val=6):
        for split, first, count in (("train", 0, train), ("val", 1000, val)):
            for kind in ("bar", "dot"):
                (folder / split / kind).mkdir(parents=True, exist_ok=True)
                for number in range(count):
                    rng = np.random.default_rng(2 * (first + number) + (kind == "dot"))
                    image = rng.integers(0, 80, (24, 20), dtype=np.uint8)
                    rows, columns = (slice(7, 15), slice(6, 14)) if kind == "dot" else (slice(11, 13), slice(2, 18))
                    image[rows, columns] += 150
                    Image.fromarray(image).save(folder / split / kind / f"{number:02}.png")
        return folder

    return make


@pytest.fixture(scope="session")
def images(make_images, tmp_path_factory):
    """12 training and 6 validation images of each class."""
    return make_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def volumes(tmp_path_factory):
    """`images/*.nii.gz` (8 x 8 x 8) and `labels.csv` with 12 training, 6 validation and 6 test cases; a folder."""
    return cubes(tmp_path_factory.mktemp("volumes"), (8, 8, 8), ["train"] * 12 + ["val"] * 6 + ["test"] * 6)
