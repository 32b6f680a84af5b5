"""Every MedMNIST v2 and MedMNIST+ set, with the official split: 3D sets as NIfTI volumes, 2D sets as PNG images.

Source: Yang et al., MedMNIST v2 (Scientific Data 2023), https://zenodo.org/records/10519652. One `.npz` file a set and
size, read by `medmnist_split`. MedMNIST states neither spacing nor orientation: volumes are written with 1 mm voxels
and with depth slices as axial images, so that `plane="axial"` reads back exactly the published array. It names no
patients either.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossd.data.npz_arrays import medmnist_split
from crossd.data.sets.array_files import ArrayFiles
from crossd.data.sets.facts import DatasetFacts, Found, OfficialFile, PaperRow, ReleasedCase, official_file
from crossd.errors import CrossDError

URL = "https://zenodo.org/records/10519652/files"
_SPLITS = ("train", "val", "test")
PAPER = {  # Tables IV and V: those of the paper's sets that are MedMNIST's own
    "bloodmnist": PaperRow("IV", 17092, (224, 224, 3), (0, 255), 8),
    "breastmnist": PaperRow("IV", 780, (224, 224, 1), (0, 255), 2),
    "dermamnist": PaperRow("IV", 10015, (224, 224, 3), (0, 255), 7),
    "organcmnist": PaperRow("IV", 23582, (224, 224, 1), (0, 255), 11),
    "organsmnist": PaperRow("IV", 25211, (224, 224, 1), (0, 255), 11),
    "pneumoniamnist": PaperRow("IV", 5856, (224, 224, 1), (0, 255), 2),
    "fracturemnist3d": PaperRow("V", 1370, (1, 64, 64, 64), (0, 255), 3),
    "synapsemnist3d": PaperRow("V", 1759, (1, 64, 64, 64), (0, 255), 2),
    "vesselmnist3d": PaperRow("V", 1908, (1, 64, 64, 64), (0, 255), 2),
}


@dataclass(frozen=True)
class MedMNISTInfo:
    """What is published of a set, see `medmnist.json` beside this module."""

    task: str
    class_names: tuple[str, ...]  # by label
    counts: tuple[int, ...]  # cases of train, val and test
    md5: dict[int, str]  # of the file, by size
    meaning: str = ""  # of a label, where its name does not say it
    channels: int = 1
    licence: str = "CC BY 4.0"
    multilabel: bool = False

    @property
    def spatial_dims(self) -> int:
        """2, or 3 for the sets that come in 28 and 64 voxels a side."""
        return 2 if 224 in self.md5 else 3


def _info(class_names: list[str], counts: list[int], md5: dict[str, str], **facts: Any) -> MedMNISTInfo:
    by_size = {int(size): digest for size, digest in md5.items()}
    return MedMNISTInfo(class_names=tuple(class_names), counts=tuple(counts), md5=by_size, **facts)


_PUBLISHED = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))["sets"]
INFO = {name: _info(**facts) for name, facts in _PUBLISHED.items()}


def medmnist_facts(name: str) -> DatasetFacts:
    """The facts of a set of `INFO`.

    >>> medmnist_facts("fracturemnist3d").count
    1370
    """
    info = INFO[name]
    sizes = ", ".join(map(str, info.md5))
    return DatasetFacts(
        name=name,
        title=name,
        task=info.task,
        address="https://zenodo.org/records/10519652",
        licence=info.licence,
        class_names=info.class_names,
        meaning=info.meaning,
        get=f"Download {name}.npz or {name}_SIZE.npz (sizes {sizes}), or pass --download.",
        count=sum(info.counts),
        preset=f"{name}.yaml" if info.spatial_dims == 3 else None,
        paper=PAPER.get(name),
        multilabel=info.multilabel,
    )


def file_of(name: str, size: int) -> OfficialFile:
    """The official file of a set: the size is named except for 28.

    >>> file_of("vesselmnist3d", 28).name, file_of("vesselmnist3d", 64).name
    ('vesselmnist3d.npz', 'vesselmnist3d_64.npz')
    """
    info = INFO[name]
    if size not in info.md5:
        raise CrossDError(f"{name} is published with size {sorted(info.md5)}, got {size}. Choose one of them.")
    file = f"{name}.npz" if size == 28 else f"{name}_{size}.npz"
    return OfficialFile(f"{URL}/{file}?download=1", file, info.md5[size], info.licence)


def find_medmnist(
    name: str,
    root: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    size: int = 64,
    download: bool = False,
    unverified: bool = False,
) -> Found:
    """Write a set's volumes as `images/<split>_<number>.nii.gz` (or images as `.png`), with their official split.

    Args:
        name: a key of `INFO`.
        root: the folder that holds the official file.
        output_dir: receives the files.
        size: pixels a side.
        download, unverified: see `official_file`.
    """
    info = INFO[name]
    path = official_file(file_of(name, size), root, download=download, unverified=unverified)
    files, cases = ArrayFiles(Path(output_dir)), []
    shape: tuple[int, ...] = ()
    for split in _SPLITS:
        arrays, labels = medmnist_split(path, split, info.spatial_dims)
        for index, (values, label) in enumerate(zip(arrays.rows(), labels, strict=True)):
            case = f"{split}_{index:0{5 if info.spatial_dims == 2 else 4}d}"
            if info.spatial_dims == 3:
                images, shape = files.write_volume(case, values[None]), (1, *values.shape)
            else:
                images, shape = files.write_image(case, values), (*values.shape[:2], info.channels)
            cases.append(ReleasedCase(images, _names(name, label), split=split))
    return Found(cases, shape, files.value_range, image_column="image" if info.spatial_dims == 3 else "filename")


def _names(name: str, label: np.ndarray) -> str | tuple[str, ...]:
    classes = INFO[name].class_names
    if label.size == 1:
        return classes[int(label.item())]
    return tuple(c for c, present in zip(classes, label, strict=True) if present)
