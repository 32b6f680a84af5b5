"""Small releases in exactly the layout of the published ones, made from noise: names, folders, tables, dtypes."""

from __future__ import annotations

import csv
import hashlib
import json
import tarfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from crossd.data import write_dicom_series
from crossd.data.sets import medmnist
from crossd.data.sets.medmnist import INFO
from PIL import Image


def voxels(seed: int, shape: tuple[int, ...] = (12, 11, 10), low: int = 0, high: int = 1000) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.int16)


def save(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)


def table(path: Path, *rows: tuple[object, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


SUBJECTS = ["00000", "00002", "00003", "00005", "00006", "00008", "00009", "00011", "00109", "00012", "00014", "00123"]
SUBJECTS += ["00016", "00017", "00018", "00019"]


def brats21_nifti(root: Path) -> None:
    """Kaggle's table, and Task 1's folders; 00019 lacks a contrast."""
    table(root / "train_labels.csv", ("BraTS21ID", "MGMT_value"), *((s, i // 2 % 2) for i, s in enumerate(SUBJECTS)))
    for seed, subject in enumerate(SUBJECTS):
        name = f"BraTS2021_{subject}"
        for offset, contrast in enumerate(("flair", "t1", "t1ce", "t2", "seg")):
            if (subject, contrast) != ("00019", "t2"):
                save(root / "BraTS2021_Training_Data" / name / f"{name}_{contrast}.nii.gz", voxels(10 * seed + offset))


def brats21_dicom(root: Path) -> None:
    """Kaggle's table and folders `train/00000/FLAIR/Image-1.dcm`."""
    table(root / "train_labels.csv", ("BraTS21ID", "MGMT_value"), *((s, i // 2 % 2) for i, s in enumerate(SUBJECTS)))
    for seed, subject in enumerate(SUBJECTS):
        for offset, series in enumerate(("FLAIR", "T1w", "T1wCE", "T2w")):
            folder = root / "train" / subject / series
            write_dicom_series(folder, voxels(10 * seed + offset, (8, 8, 2)), np.diag([-1.0, -1, 1, 1]))
            for number, file in enumerate(sorted(folder.iterdir()), start=1):
                file.rename(folder / f"Image-{number}.dcm")


def mosmed_release(root: Path) -> None:
    """COVID19_1110: `studies/CT-0/study_0001.nii.gz` … with the counts of the classes in proportion."""
    number = 0
    for grade, count in enumerate((8, 3, 4, 3, 1)):
        for _ in range(count):
            number += 1
            save(
                root / "COVID19_1110" / "studies" / f"CT-{grade}" / f"study_{number:04d}.nii.gz", voxels(number) - 1000
            )
    (root / "COVID19_1110" / "dataset_registry.xlsx").write_bytes(b"not read")


def mosmed_subset(root: Path) -> None:
    """The subset of the paper, unpacked: `CT-0` and `CT-23`."""
    for folder, numbers in (("CT-0", range(1, 9)), ("CT-23", range(938, 946))):
        for number in numbers:
            save(root / folder / f"study_{number:04d}.nii.gz", voxels(number) - 1000)


IXI_ROWS = [  # with doubled, empty and contradicting rows, as the published table has them
    *((number, 1 + number % 2, 30.5) for number in range(2, 16)),
    (2, 0, 0),
    (16, 1, 40.1),
    (16, 2, 41.3),
    (17, 0, 0),
    (19, 2, 22.0),
]
IXI_SITES = ("Guys", "HH", "IOP")


def ixi_names(contrast: str, numbers: list[int]) -> list[str]:
    return [f"IXI{n:03d}-{IXI_SITES[n % 3]}-{800 + n:04d}-{contrast}.nii.gz" for n in numbers]


def ixi(root: Path) -> None:
    """Unpacked archives: T1 sagittal, T2 axial; 18 has no T2, 16 two sexes, 17 none, 20 no row."""
    table(root / "IXI.csv", ("IXI_ID", "SEX_ID (1=m, 2=f)", "AGE"), *IXI_ROWS)
    numbers = [*range(2, 19), 20]
    for name in ixi_names("T1", numbers):
        save(
            root / "IXI-T1" / name,
            voxels(1, (10, 9, 6)),
            np.array([[0, 0, 1.2, 0], [-1, 0, 0, 9], [0, -1, 0, 8], [0, 0, 0, 1]]),
        )
    for name in ixi_names("T2", [n for n in numbers if n != 18]):
        save(root / "IXI-T2" / name, voxels(2, (8, 9, 7)), np.diag([-1.0, -1, 1.2, 1]))


def ixi_archives(root: Path) -> None:
    """As published: archives of files without a folder."""
    ixi(root)
    for contrast in ("T1", "T2"):
        with tarfile.open(root / f"IXI-{contrast}.tar", "w") as archive:
            for path in sorted((root / f"IXI-{contrast}").iterdir()):
                archive.add(path, path.name)
                path.unlink()
        (root / f"IXI-{contrast}").rmdir()


def lung(root: Path) -> None:
    """Arrays of Hounsfield units, the class in the folder."""
    for label, count in (("AAH", 4), ("AIS", 6), ("MIA", 8)):
        (root / label).mkdir(parents=True)
        for number in range(count):
            np.save(root / label / f"{number:03d}.npy", voxels(number, (9, 9, 9), -1450, 3880))


def ribfrac(root: Path) -> None:
    """Zenodo's folders and tables; scan 3 has a segmental and an unknown fracture beside the three kinds."""
    code = {"displaced": 1, "nondisplaced": 2, "buckle": 3}
    rows: dict[str, list[tuple[object, ...]]] = {"train-info-1": [], "train-info-2": [], "val-info": []}
    for number in (1, 2, 3, 301, 302, 421, 422):
        scan = f"RibFrac{number}"
        labels = np.zeros((40, 40, 20), np.uint8)
        kinds = [*code.values(), 4, -1] if number == 3 else list(code.values())
        for value, kind in enumerate(kinds, start=1):
            labels[5 * value : 5 * value + 4, 10:14, 8:12] = value
            part = "val-info" if number > 420 else "train-info-2" if number > 300 else "train-info-1"
            rows[part].append((scan, value, kind))
        rows[part].append((scan, 0, 0))
        image, masks = (
            ("ribfrac-val-images", "ribfrac-val-labels") if number > 420 else (f"Part{1 + (number > 300)}",) * 2
        )
        spacing = np.diag([2.0, 2, 4, 1])
        save(
            root / image / f"{scan}-image.nii.gz", voxels(number, labels.shape) + 100 * labels.astype(np.int16), spacing
        )
        save(root / masks / f"{scan}-label.nii.gz", labels, spacing)
    for part, lines in rows.items():
        table(root / f"ribfrac-{part}.csv", ("public_id", "label_id", "label_code"), *lines)


BUSV = {
    "train": [*(f"benign/a{i}" for i in range(6)), *(f"malignant/b{i}" for i in range(6)), "benign/x1282311c38f808f"],
    "val": ["benign/c0", "benign/c1", "malignant/x9c1c965d274c457", "malignant/d0"],
}


def busv(root: Path) -> None:
    """Frames in colour, and the two annotation files; one folder more on disk than in them."""
    top = root / "Miccai 2022 BUV Dataset"
    for split, name in (("train", "imagenet_vid_train_15frames.json"), ("val", "imagenet_vid_val.json")):
        images = []
        for video in BUSV[split]:
            images += [
                {"id": 0, "file_name": f"{video}/{frame:06d}.png", "height": 20, "width": 24} for frame in range(5)
            ]
        top.mkdir(exist_ok=True, parents=True)
        categories = [{"id": 1, "name": "benign"}, {"id": 2, "name": "malignant"}]
        (top / name).write_text(
            json.dumps({"images": images, "annotations": [], "videos": [], "categories": categories})
        )
    for seed, video in enumerate([*BUSV["train"], *BUSV["val"], "benign/x66ef02e7f1b9a0ef"]):
        (top / "rawframes" / video).mkdir(parents=True)
        for frame in range(5):
            colours = np.random.default_rng(10 * seed + frame).integers(0, 256, (20, 24, 3)).astype(np.uint8)
            Image.fromarray(colours).save(top / "rawframes" / video / f"{frame:06d}.png")


def medmnist_file(name: str, size: int, counts: tuple[int, int, int] = (6, 3, 3), *, compressed: bool = True):
    """A function that writes a file in the official form: keys, dtypes, axes, labels `(N, 1)`."""
    info = INFO[name]

    def make(root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        arrays = {}
        for split, count in zip(("train", "val", "test"), counts, strict=True):
            shape = (count, size, size, size) if info.spatial_dims == 3 else (count, size, size, info.channels)
            shape = shape[:-1] if info.spatial_dims == 2 and info.channels == 1 else shape
            arrays[f"{split}_images"] = random.integers(0, 256, shape).astype(np.uint8)
            arrays[f"{split}_labels"] = (np.arange(count)[:, None] % len(info.class_names)).astype(np.uint8)
            if info.multilabel:
                arrays[f"{split}_labels"] = random.integers(0, 2, (count, len(info.class_names))).astype(np.uint8)
        write = np.savez_compressed if compressed else np.savez
        write(root / medmnist.file_of(name, size).name, **arrays)

    return make


def official(monkeypatch: pytest.MonkeyPatch, root: Path, name: str, size: int) -> None:
    """Take the made file for the official one: its MD5 stands where the official one stood."""
    data = (root / medmnist.file_of(name, size).name).read_bytes()
    monkeypatch.setitem(INFO[name].md5, size, hashlib.md5(data).hexdigest())


def enhanced(layout: str, subset: str = "brats21_96", dtype: type = np.float64, size: tuple[int, int, int] = (8, 8, 8)):
    """A function that writes `images` and `labels` in one of the layouts, such as "NCDHW"."""

    def make(root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        sizes = {"N": 14, "C": 3, "2": 2, **dict(zip("DHW", size, strict=True))}
        images = np.random.default_rng(0).integers(0, 256, [sizes[axis] for axis in layout]).astype(dtype)
        np.savez_compressed(root / f"{subset}.npz", images=images, labels=np.arange(14) % 2)

    return make


def class_folders(root: Path) -> None:
    """NIfTI of several patients and a DICOM series, in two folders."""
    for label in ("ill", "well"):
        for patient in range(4):
            for scan in range(2):
                save(root / label / f"sub-{label}{patient}" / f"scan{scan}.nii.gz", voxels(patient * 2 + scan))
        write_dicom_series(root / label / f"sub-{label}9" / "series", voxels(9, (8, 8, 4)), np.diag([-1.0, -1, 1, 1]))


def hippocampus(root: Path) -> None:
    """Task04 as images and labels."""
    for seed in range(8):
        labels = np.zeros((20 + seed, 30, 18), np.uint8)
        labels[6:12, 18:26, 5:11] = 1
        labels[8:12, 6:18, 7:11] = 2
        for folder, array in (("images", voxels(seed, labels.shape)), ("labels", labels)):
            save(root / folder / f"hippocampus_{seed:03}.nii.gz", array)


RELEASES = {
    "brats21": brats21_nifti,
    "brats21-dicom": brats21_dicom,
    "mosmed": mosmed_release,
    "mosmed-subset": mosmed_subset,
    "ixi": ixi,
    "ixi-archives": ixi_archives,
    "lung-adenocarcinoma": lung,
    "ribfrac": ribfrac,
    "busv": busv,
    "enhanced-medmnist": enhanced("NCDHW"),
    "class-folders": class_folders,
    "hippocampusparts": hippocampus,
    **{
        name: medmnist_file(name, 28, (2 * len(info.class_names), len(info.class_names), len(info.class_names)))
        for name, info in INFO.items()
        if info.spatial_dims == 3
    },
}


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Make a release by name, or with a function of `made`, and return its root."""

    def make(name: str) -> Path:
        root = tmp_path / "release"
        RELEASES[name](root)
        if name in INFO:
            official(monkeypatch, root, name, 28)
        if name == "ixi-archives":
            from crossd.data.sets import ixi as module

            for file in ("IXI-T1.tar", "IXI-T2.tar"):
                monkeypatch.setitem(module._MD5, file, hashlib.md5((root / file).read_bytes()).hexdigest())
        return root

    return make


@pytest.fixture
def made(monkeypatch):
    """The functions that make files, and `official`, for tests of one layout."""
    from types import SimpleNamespace

    return SimpleNamespace(
        medmnist_file=medmnist_file,
        enhanced=enhanced,
        official=lambda root, name, size: official(monkeypatch, root, name, size),
        save=save,
        table=table,
        voxels=voxels,
        ixi_rows=IXI_ROWS,
    )


@pytest.fixture
def rows():
    """The rows of a labels.csv."""

    def read(path: Path) -> list[dict[str, str]]:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return read
