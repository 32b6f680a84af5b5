"""MedMNIST's 3D sets as NIfTI volumes and a labels.csv, with the official split.

Source: Yang et al., MedMNIST v2 (Scientific Data 2023), https://zenodo.org/records/10519652. One `.npz` file a set and
size, with the arrays `{train,val,test}_images` (cases, depth, height, width) and `{train,val,test}_labels`. MedMNIST
states neither spacing nor orientation: the volumes are written with 1 mm voxels and with depth slices as axial images,
so that `plane="axial"` reads back exactly the published array. It names no patients either.
"""

from __future__ import annotations

import csv
import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from crossd.data.nifti_writing import write_nifti
from crossd.errors import CrossDError

_URL = "https://zenodo.org/records/10519652/files"
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class MedMNIST3D:
    """One set: what its labels mean and how to recognise its files."""

    name: str
    class_names: tuple[str, ...]
    md5: dict[int, str]  # by size; from the `medmnist` package's info.py
    licence: str

    def file_name(self, size: int) -> str:
        """The official file name: the size is named except for 28."""
        return f"{self.name}.npz" if size == 28 else f"{self.name}_{size}.npz"


SETS = {
    "vesselmnist3d": MedMNIST3D(
        name="vesselmnist3d",
        class_names=("healthy", "aneurysm"),  # MedMNIST calls class 0 "vessel"
        md5={28: "b41fd4f7e7e2feedddb201585ecafa1b", 64: "6bb274a8846e1097066dcd64e2c4520f"},
        licence="CC BY 4.0",
    ),
}


def prepare_medmnist(
    name: str, root: str | os.PathLike[str], output_dir: str | os.PathLike[str], *, size: int = 64
) -> Path:
    """Write one NIfTI file per case and `labels.csv` with the columns image, label, split.

    Args:
        name: a key of `SETS`.
        root: the folder that holds the official file.
        output_dir: receives `labels.csv` and `images/<split>_<number>.nii.gz`; the column `image` is relative to it.
        size: 28 or 64 voxels a side.

    Returns:
        The path of `labels.csv`, written last.

    Raises:
        CrossDError: a size that is not published; the file is absent or is not the official one.
    """
    dataset = SETS[name]
    path = _official_file(dataset, Path(root), size)
    output_dir = Path(output_dir)
    rows = []
    for split in _SPLITS:
        for index, (volume, label) in enumerate(read_medmnist(path, split)):
            image = Path("images") / f"{split}_{index:04d}.nii.gz"
            write_nifti(output_dir / image, volume)
            rows.append((image.as_posix(), dataset.class_names[label], split))
    labels = output_dir / "labels.csv"
    with labels.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "label", "split"), *rows])
    return labels


def read_medmnist(path: str | os.PathLike[str], split: str) -> Iterator[tuple[np.ndarray, int]]:
    """The cases of one split, one at a time, whatever the size of the file.

    Args:
        path: a MedMNIST `.npz` of single-label volumes.
        split: "train", "val" or "test".

    Yields:
        The volume, `(depth, height, width)` in the file's dtype, and its class (stored as `(N,)` or `(N, 1)`).

    Raises:
        CrossDError: an array of the split is missing, or images and labels differ in number.
    """
    with zipfile.ZipFile(path) as archive:
        missing = [key for key in (f"{split}_images", f"{split}_labels") if f"{key}.npy" not in archive.namelist()]
        if missing:
            raise CrossDError(
                f"A MedMNIST file holds the arrays {{train,val,test}}_{{images,labels}}; {Path(path).name} lacks "
                f"{', '.join(missing)} and has {', '.join(archive.namelist())}. Take the file from {_URL}."
            )
        with archive.open(f"{split}_labels.npy") as file:
            labels = np.lib.format.read_array(file, allow_pickle=False).reshape(-1)
        with archive.open(f"{split}_images.npy") as file:
            shape, in_fortran_order, dtype = _read_header(file)
            if len(shape) != 4 or in_fortran_order or shape[0] != len(labels):
                raise CrossDError(
                    f"{split}_images of a 3D set is (cases, depth, height, width) in C order, with one label a case; "
                    f"{Path(path).name} has shape {shape} and {len(labels)} labels. Take the file from {_URL}."
                )
            size = dtype.itemsize * int(np.prod(shape[1:]))
            for label in labels:
                yield np.frombuffer(file.read(size), dtype=dtype).reshape(shape[1:]), int(label)


def _official_file(dataset: MedMNIST3D, root: Path, size: int) -> Path:
    if size not in dataset.md5:
        raise CrossDError(
            f"{dataset.name} is published with size {sorted(dataset.md5)}, got {size}. Choose one of them."
        )
    path = root / dataset.file_name(size)
    where = f"Download it from {_URL}/{path.name}?download=1 ({dataset.licence}) into {root}."
    if not path.is_file():
        raise CrossDError(f"The official file of {dataset.name} is needed, and {path} does not exist. {where}")
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != dataset.md5[size]:
        raise CrossDError(
            f"The official file of {dataset.name} has MD5 {dataset.md5[size]}; {path} has {digest.hexdigest()}. {where}"
        )
    return path


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype of the `.npy` stream, which is left at its first value."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)
