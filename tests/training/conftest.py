"""Tiny labelled volumes, where one class is empty and the other holds a bright cube, and tiny labelled images."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image


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
    folder = tmp_path_factory.mktemp("volumes")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    lines = ["image,label,patient,split"]
    for case in range(24):
        voxels = rng.normal(100, 10, (8, 8, 8)).astype(np.float32)
        if case % 2:
            voxels[2:6, 2:6, 2:6] += 40
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 1.5, 1])), folder / "images" / f"c{case:02}.nii.gz")
        split = "train" if case < 12 else "val" if case < 18 else "test"
        lines.append(f"c{case:02}.nii.gz,{'cube' if case % 2 else 'empty'},p{case},{split}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder
