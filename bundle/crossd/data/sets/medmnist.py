"""Every MedMNIST v2 and MedMNIST+ set, with the official split: 3D sets as NIfTI volumes, 2D sets as PNG images.

Source: Yang et al., MedMNIST v2 (Scientific Data 2023), https://zenodo.org/records/10519652. One `.npz` file a set and
size, with the arrays `{train,val,test}_images`, `(cases, depth, height, width)` or `(cases, height, width[, 3])`, and
`{train,val,test}_labels`. MedMNIST states neither spacing nor orientation: volumes are written with 1 mm voxels and
with depth slices as axial images, so that `plane="axial"` reads back exactly the published array. It names no patients
either.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossd.data.npz_arrays import load_small, npz_array, npz_keys
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
    """What is published of a set, see `medmnist.json` beside this module.

    Attributes:
        task: what is seen.
        class_names: by label.
        counts: cases of train, val and test.
        md5: of the file, by size.
        meaning: what a label says where its name does not.
        channels: 1 or 3.
        licence: of the data.
        multilabel: any number of classes for an image.
    """

    task: str
    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    md5: dict[int, str]
    meaning: str = ""
    channels: int = 1
    licence: str = "CC BY 4.0"
    multilabel: bool = False

    @property
    def spatial_dims(self) -> int:
        """2, or 3 for the sets that come in 28 and 64 voxels a side."""
        return 2 if 224 in self.md5 else 3


def _read_info() -> dict[str, MedMNISTInfo]:
    sets = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))["sets"]
    for facts in sets.values():
        facts["class_names"], facts["counts"] = tuple(facts["class_names"]), tuple(facts["counts"])
        facts["md5"] = {int(size): digest for size, digest in facts["md5"].items()}
    return {name: MedMNISTInfo(**facts) for name, facts in sets.items()}


INFO = _read_info()


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

    Raises:
        CrossDError: a size that is not published.

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
    """Write a set's volumes (or images) as files, with their official split.

    Args:
        name: a key of `INFO`.
        root: the folder that holds the official file.
        output_dir: receives `images/<split>_<number>.nii.gz` (or `.png`).
        size: pixels a side.
        download: get the official file where it is not there.
        unverified: take a file with another checksum too.

    Raises:
        CrossDError: a size that is not published; the file is absent or is not the official one.
    """
    info = INFO[name]
    path = official_file(file_of(name, size), root, download=download, unverified=unverified)
    files, cases = ArrayFiles(Path(output_dir)), []
    shape: tuple[int, ...] = ()
    for split in _SPLITS:
        for index, (values, label) in enumerate(read_medmnist(path, split, info.spatial_dims)):
            case = f"{split}_{index:0{5 if info.spatial_dims == 2 else 4}d}"
            if info.spatial_dims == 3:
                images, shape = files.write_volume(case, values[None]), (1, *values.shape)
            else:
                images, shape = files.write_image(case, values), (*values.shape[:2], info.channels)
            cases.append(ReleasedCase(images, _names(name, label), split=split))
    return Found(cases, shape, files.value_range, image_column="image" if info.spatial_dims == 3 else "filename")


def read_medmnist(
    path: str | os.PathLike[str], split: str, spatial_dims: int = 3
) -> Iterator[tuple[np.ndarray, int | np.ndarray]]:
    """The cases of one split, one at a time, whatever the size of the file.

    Args:
        path: a MedMNIST `.npz`.
        split: "train", "val" or "test".
        spatial_dims: 3 for volumes, 2 for images.

    Yields:
        The volume, `(depth, height, width)`, or image, `(height, width)` or `(height, width, 3)`, in the file's dtype;
        and its label: an integer (stored as `(N,)` or `(N, 1)`), or 0 and 1 for each class, `(classes,)`.

    Raises:
        CrossDError: an array of the split is missing, or images and labels differ in number.
    """
    have = npz_keys(path)
    missing = [key for key in (f"{split}_images", f"{split}_labels") if key not in have]
    if missing:
        raise CrossDError(
            f"A MedMNIST file holds the arrays {{train,val,test}}_{{images,labels}}; {Path(path).name} lacks "
            f"{', '.join(missing)} and has {', '.join(have)}. Take the file from {URL}."
        )
    labels, images = load_small(path, f"{split}_labels"), npz_array(path, f"{split}_images")
    shape = images.shape
    fits = len(shape) == 4 if spatial_dims == 3 else len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
    if not fits or shape[0] != len(labels):
        expected = "(cases, depth, height, width)" if spatial_dims == 3 else "(cases, height, width) or (…, 3)"
        raise CrossDError(
            f"{split}_images of a {spatial_dims}D set is {expected}, with one label a case; {Path(path).name} has "
            f"shape {shape} and {len(labels)} labels. Take the file from {URL}."
        )
    for image, label in zip(images.rows(), labels, strict=True):
        yield image, int(label.reshape(())) if label.size == 1 else label.reshape(-1)


def _names(name: str, label: int | np.ndarray) -> str | tuple[str, ...]:
    classes = INFO[name].class_names
    if isinstance(label, int):
        return classes[label]
    return tuple(c for c, present in zip(classes, label, strict=True) if present)
