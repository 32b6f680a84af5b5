"""What images for pre-training come from: folders, zip files, lists and arrays, all read in the same way."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from crossd.data.images.decoding import decode
from crossd.errors import CrossDError

UNUSED_SPLITS = ("test",)
SPLITS = ("train", "val")


@dataclass(frozen=True)
class ImageRecord:
    """One labelled image of a source.

    Attributes:
        name: by which the source reads it.
        label: its class, by name.
        split: `"train"` or `"val"`; None where the source does not say.
        patient: None where it is not known.
    """

    name: str
    label: str
    split: str | None = None
    patient: str | None = None


class ImageSource(ABC):
    """Labelled images that lie in one place.

    Attributes:
        path: of the folder or file.
        class_names: in the order of its own labels.
        records: one per image of train and val.
        notes: what else was found there and is not used, for the log.
        task: `"multiclass"`, or `"multilabel"` where an image may have any number of labels.
        absent: names of images that should be there and are not, each with the reason.
    """

    path: Path
    class_names: list[str]
    records: list[ImageRecord]
    notes: list[str]
    task: str = "multiclass"
    absent: Sequence[tuple[str, str]] = ()

    @property
    def name(self) -> str:
        """What classes of the same name are told apart by."""
        return self.path.name if self.path.is_dir() else self.path.stem

    def labels(self, record: ImageRecord) -> list[str]:
        """The classes of an image."""
        return [record.label]

    @abstractmethod
    def read(self, name: str, channels: int = 1) -> np.ndarray:
        """The image of a record, `(channels, height, width)` uint8."""


class FolderSource(ImageSource):
    """A folder of class folders, with `train` and `val` above them or without; see `class_folders`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("ct/1.png", "mr/1.png"):
    ...         (Path(folder) / name).parent.mkdir()
    ...         _ = (Path(folder) / name).write_bytes(b"")
    ...     FolderSource(Path(folder)).class_names
    ['ct', 'mr']
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        files = sorted(files_of(path))
        folders = sorted(Path(folder).relative_to(path).as_posix() for folder, _, _ in os.walk(path, followlinks=True))
        self.class_names, self.records, self.notes = class_folders(files, folders, str(path))

    def read(self, name: str, channels: int = 1) -> np.ndarray:
        return decode((self.path / name).read_bytes(), channels)


def files_of(path: Path) -> Iterator[str]:
    """The files below a folder, also through links, relative to it and with `/`."""
    for folder, _, names in os.walk(path, followlinks=True):
        inside = Path(folder).relative_to(path)
        for name in names:
            yield (inside / name).as_posix()


def class_folders(
    files: Sequence[str], folders: Sequence[str], where: str
) -> tuple[list[str], list[ImageRecord], list[str]]:
    """Classes and splits of a tree of class folders.

    Either `train/<class>/…` and `val/<class>/…` (a `test` beside them is left alone), or `<class>/…`. A single folder
    around all that, as in many zip files, is looked through. Images may lie at any depth below their class.

    Args:
        files: paths of all files, with `/`, relative to the source.
        folders: paths of all folders, the empty ones too.
        where: the source, for messages.

    Returns:
        Class names, records and notes.

    Raises:
        CrossDError: when there are no images, train and val have other classes, or a class has no image.

    >>> files = [f"{split}/{name}/1.png" for split in ("train", "val") for name in ("ct", "mr")]
    >>> names, records, _ = class_folders(files, [], "somewhere")
    >>> names, records[0]
    (['ct', 'mr'], ImageRecord(name='train/ct/1.png', label='ct', split='train', patient=None))
    """
    from crossd.data.images.decoding import is_image

    images = [name for name in files if is_image(name)]
    if not images:
        raise CrossDError(
            f"Images lie in one folder per class, as in train/CT/1.png or CT/1.png; got none in {where} among "
            f"{len(files)} files. Pass --images the folder above the classes."
        )
    known = {name for name in folders if name != "." and not _hidden(name)}
    known |= {str(parent) for name in images for parent in PurePosixPath(name).parents if str(parent) != "."}
    root = _root(images, known)
    inside = {name.removeprefix(root) for name in known if name.startswith(root) and name != root.rstrip("/")}
    split = all(any(name.startswith(f"{part}/") for name in inside) for part in SPLITS)
    classes: dict[str | None, set[str]] = {}
    for name in inside:
        parts = name.split("/")
        if split and len(parts) > 1 and parts[0] in SPLITS:
            classes.setdefault(parts[0], set()).add(parts[1])
        elif not split:
            classes.setdefault(None, set()).add(parts[0])
    records, beside = [], 0
    for name in images:
        parts = name.removeprefix(root).split("/")
        if split and len(parts) > 2 and parts[0] in SPLITS:
            records.append(ImageRecord(name, parts[1], parts[0]))
        elif not split and len(parts) > 1:
            records.append(ImageRecord(name, parts[0]))
        else:
            beside += 1
    check_same_classes(classes, where)
    names = sorted({label for found in classes.values() for label in found})
    _check_filled(names, records, "train" if split else None, where)
    others = len(files) - len(images)
    notes = [f"{beside} images outside of the class folders are not used"] * bool(beside)
    notes += [f"{others} other files are not images"] * bool(others)
    return names, records, notes


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _root(images: Sequence[str], folders: set[str]) -> str:
    """The folders around all images that are neither a split nor a class, as a prefix."""
    root = ""
    while True:
        first = {name.removeprefix(root).split("/")[0] for name in folders if name.startswith(root)}
        below = [name for name in images if len(name.removeprefix(root).split("/")) == 2]
        if len(first) != 1 or below or any(split in first for split in SPLITS):
            return root
        root = f"{root}{first.pop()}/"


def check_same_classes(classes: dict[str | None, set[str]], where: str) -> None:
    """Refuse train and val of different classes."""
    if set(classes) != set(SPLITS):
        return
    missing = {split: sorted(classes[other] - classes[split]) for split, other in (("train", "val"), ("val", "train"))}
    if any(missing.values()):
        listed = " and ".join(f"{split} lacks {', '.join(names)}" for split, names in missing.items() if names)
        raise CrossDError(
            f"train and val have the same class folders, got {where}, where {listed}. Rename them, or make an empty "
            "folder in val for a class without validation images."
        )


def _check_filled(names: Sequence[str], records: Sequence[ImageRecord], split: str | None, where: str) -> None:
    filled = {record.label for record in records if record.split == split}
    empty = [name for name in names if name not in filled]
    if empty:
        raise CrossDError(
            f"Every class has images to learn from, got none of {', '.join(empty)} in {where}. Add some, or remove "
            "the folder."
        )
