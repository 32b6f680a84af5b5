"""Trees of class folders, with splits above them or without: what is a class in them, and what is a split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from crossd.data.folders import hidden
from crossd.data.images.image_files import ImageTree, decode_image, is_image
from crossd.data.images.sources import SPLITS, ImageRecord, ImageSource, check_same_classes
from crossd.data.splits import split_called, split_folders
from crossd.errors import CrossDError


class ClassFolderSource(ImageSource):
    """A tree of class folders, with `train`, `val` and `test` above them or without; see `class_folders`."""

    def __init__(self, tree: ImageTree) -> None:
        self.tree, self.path = tree, tree.path
        self.class_names, self.records, self.test_records, self.notes = class_folders(*tree.listed(), str(tree.path))

    def read(self, name: str, channels: int = 1) -> np.ndarray:
        return decode_image(self.tree.read(name), channels)


def class_folders(
    files: Sequence[str], folders: Sequence[str], where: str
) -> tuple[list[str], list[ImageRecord], list[ImageRecord], list[str]]:
    """Classes and splits of a tree of class folders.

    Either `<class>/…`, or `train/<class>/…` with `val/<class>/…` and `test/<class>/…`, both of which may be missing.
    Splits may be spelled as in `crossd.data.splits.split_called`, and are never taken for classes. A single folder
    around all that, as in many zip files, is looked through. Images may lie at any depth below their class.

    Args:
        files: paths of all files, with `/`, relative to the source.
        folders: paths of all folders, the empty ones too.
        where: the source, for messages.

    Returns:
        Class names; records of train and val, without a split where there is no val; those of test; and notes.

    Raises:
        CrossDError: when there are no images, one split stands beside other folders or lacks train, train and val have
            other classes, or a class has no image.

    >>> files = [f"{split}/{name}/1.png" for split in ("Train", "Valid") for name in ("ct", "mr")]
    >>> names, records, _, _ = class_folders(files, [], "somewhere")
    >>> names, records[0]
    (['ct', 'mr'], ImageRecord(name='Train/ct/1.png', label='ct', split='train', patient=None))
    """
    images = [name for name in files if is_image(name)]
    if not images:
        raise CrossDError(
            f"Images lie in one folder per class, as in train/CT/1.png or CT/1.png; got none in {where} among "
            f"{len(files)} files. Pass --images the folder above the classes."
        )
    known = {name for name in folders if not hidden(name)}
    known |= {str(parent) for name in images for parent in PurePosixPath(name).parents if str(parent) != "."}
    root = _root(images, known)
    inside = {name.removeprefix(root) for name in known if name.startswith(root) and name != root.rstrip("/")}
    below = [name.removeprefix(root).split("/") for name in images]
    splits = _splits(inside, below, where)
    own = "val" in splits.values()  # otherwise it is made
    classes: dict[str | None, set[str]] = {split: set() for split in (SPLITS if own else (None,))}
    for parts in (name.split("/") for name in inside):
        if splits and len(parts) > 1 and splits.get(parts[0], "test") != "test":
            classes[splits[parts[0]] if own else None].add(parts[1])
        elif not splits:
            classes[None].add(parts[0])
    names = sorted({label for found in classes.values() for label in found})
    _check_names(names, splits, where)
    check_same_classes(classes, where)
    records: list[ImageRecord] = []
    held: list[ImageRecord] = []
    beside = 0
    for name, parts in zip(images, below, strict=True):
        split = splits.get(parts[0])
        if split and len(parts) > 2:
            of_split = held if split == "test" else records
            of_split.append(ImageRecord(name, parts[1], split if own or split == "test" else None))
        elif not splits and len(parts) > 1:
            records.append(ImageRecord(name, parts[0]))
        else:
            beside += 1
    filled = {record.label for record in records if record.split in (None, "train")}
    if empty := [name for name in names if name not in filled]:
        raise CrossDError(
            f"Every class has images to learn from, got none of {', '.join(empty)} in {where}. Add some, or remove "
            "the folder."
        )
    others = len(files) - len(images)
    notes = ["there is no val, it is split off from train"] * (bool(splits) and not own)
    notes += [f"the {len(held)} images of test are left alone"] * bool(held)
    notes += [f"{beside} images outside of the class folders are not used"] * bool(beside)
    notes += [f"{others} other files are not images"] * bool(others)
    return names, records, held, notes


def _root(images: Sequence[str], folders: set[str]) -> str:
    """The folders around all images that are neither a split nor a class, as a prefix."""
    root = ""
    while True:
        first = _first(folders, root)
        below = [name for name in images if len(name.removeprefix(root).split("/")) == 2]
        if len(first) != 1 or below:
            return root
        (around,) = first
        inner = f"{root}{around}/"
        if split_called(around) and "train" not in {split_called(name) for name in _first(folders, inner)}:
            return root
        root = inner


def _first(folders: set[str], root: str) -> set[str]:
    return {name.removeprefix(root).split("/")[0] for name in folders if name.startswith(root)}


def _splits(inside: set[str], images: Sequence[Sequence[str]], where: str) -> dict[str, str]:
    """Which folder of the first level is which split; none where they are classes."""
    first = {name.split("/")[0] for name in inside}
    sure = {"train", "val"} <= {split_called(name) for name in first}  # with both there is no doubt
    splits = split_folders(first, () if sure else (parts[0] for parts in images if len(parts) > 1), where)
    filled = {parts[0] for parts in images if len(parts) > 1} | {name.split("/")[0] for name in inside if "/" in name}
    splits = {name: split for name, split in splits.items() if name in filled}
    got = ", ".join(splits)
    if len(set(splits.values())) < len(splits):
        raise CrossDError(f"Every split has one folder, got {got} in {where}. Join the folders that mean the same.")
    if splits and "train" not in splits.values():
        raise CrossDError(
            f"Training needs images in train, got {got} without it in {where}. Name the folder train whose images are "
            "to be learnt from; val is split off from it where there is none."
        )
    return splits


def _check_names(names: Sequence[str], splits: dict[str, str], where: str) -> None:
    """Below splits there are classes, and no splits again."""
    if splits and not names:
        raise CrossDError(
            f"A split holds one folder per class, as in train/CT/1.png; got none below {', '.join(splits)} in {where}. "
            "Sort the images into folders."
        )
    again = [name for name in names if split_called(name)]
    if again:
        raise CrossDError(
            f"Classes are not called like splits, got {', '.join(again)} below {', '.join(splits)} in {where}. Leave "
            "one level of splits, or rename the class."
        )
