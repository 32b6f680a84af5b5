"""From what a user names to what a network is trained and tested on: joined sources, splits without duplicates."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossd.data.images.chest_xray14 import TABLE, ChestXray14Source, tables
from crossd.data.images.class_folders import ClassFolderSource
from crossd.data.images.image_files import tree_of
from crossd.data.images.lists import ListSource
from crossd.data.images.npz import NpzSource
from crossd.data.images.sources import SPLITS, ImageRecord, ImageSource, as_target, as_text, classes_of, declared_task
from crossd.data.images.store import ImageStore, limited, try_images, without_leaks
from crossd.data.names import refuse_spellings
from crossd.data.splits import stratified_split
from crossd.errors import CrossDError

logger = logging.getLogger(__name__)


def open_source(path: str | Path, image_root: str | None = None) -> ImageSource:
    """The source that a path names: class folders, a `.zip` of them, a MedMNIST `.npz`, a `.csv` list, ChestX-ray14.

    The names in a list start from `image_root`, where that is not beside the list.
    """
    path = Path(path).expanduser()
    kind = path.suffix.lower()
    root = None if image_root is None else Path(image_root)
    if path.name.startswith(TABLE) or (path.is_dir() and tables(path)):
        return ChestXray14Source(path, root)
    if not path.exists():
        raise CrossDError(f"Images come from a folder or file that exists, got {path}. Check --images.")
    if path.is_dir() or kind == ".zip":
        return ClassFolderSource(tree_of(path))
    if kind == ".csv":
        return ListSource(path, root)
    if kind == ".npz":
        return NpzSource(path)
    raise CrossDError(
        f"Images come from a folder of class folders, a .zip of one, a MedMNIST .npz or a .csv list, got {path}. "
        "Pass one of these to --images."
    )


def joined_names(sources: Sequence[ImageSource]) -> list[dict[str, str]]:
    """For each source what its classes are called among those of all: as in the source, or `source/class` where two
    sources use a name, which need not mean the same.
    """
    names: Counter[str] = Counter()
    of_source = []
    for source in sources:
        names[source.name] += 1
        of_source.append(source.name if names[source.name] == 1 else f"{source.name}_{names[source.name]}")
    used = Counter(label for source in sources for label in source.class_names)
    return [
        {label: label if used[label] == 1 else f"{name}/{label}" for label in source.class_names}
        for name, source in zip(of_source, sources, strict=True)
    ]


def read_corpus(
    images: str | Sequence[str] | None,
    *,
    image_root: str | None = None,
    channels: int = 1,
    val_fraction: float = 0.1,
    limit_per_class: int | None = None,
    seed: int = 0,
    check_images: bool = True,
    cache_gb: float = 4,
    num_workers: int = 0,
    task: str | None = None,
) -> dict[str, Any]:
    """Labelled images of one or several sources, for training and validation.

    Sources with a train and a val split keep them. Others, or what is not test in them, are split by patient where a
    list names patients, and by class. Images of equal content count as one patient; where a source's own splits share
    one, it is left out of train.

    Args:
        images: one source or several, see `open_source`.
        image_root: see `open_source`.
        channels: 1 or 3.
        val_fraction: share of the validation images in sources without a val split.
        limit_per_class: take so many images of each class (multilabel: of each combination), at random; None: all.
        seed: of that choice and of the split.
        check_images: read every image first, which finds those that cannot be read and the duplicates. False saves that
            hour for millions of images that are known to be good.
        cache_gb: memory for decoded images.
        num_workers: processes that read them.
        task: None: that of the sources.

    Returns:
        `"train"` and `"val"`: items `{"image": (source, name), "label": index, "case": text}`, where `label` is float32
        `(classes,)` for multilabel; `"class_names"`; `"task"`; `"store"`, which reads them; `"skipped"`: rows (source,
        image, reason); `"rows"`: (source, image, label, patient, split) of all that are used; `"counts"`.

    Raises:
        CrossDError: when there are no images, fewer than two classes, or nothing to validate on.
    """
    given = [images] if isinstance(images, (str, Path)) else list(images or [])
    if not given:
        raise CrossDError(
            "Pre-training needs images, got none. Pass --images with a folder of class folders, a .zip of one, a "
            "MedMNIST .npz, a .csv list, or a list of these."
        )
    sources = [open_source(path, image_root) for path in given]
    names = joined_names(sources)
    class_names = [names[i][label] for i, source in enumerate(sources) for label in source.class_names]
    if len(class_names) < 2:
        raise CrossDError(
            f"Two classes or more are needed, got {', '.join(class_names) or 'none'} in {', '.join(map(str, given))}. "
            "Pass the folder above the class folders, or add another source."
        )
    refuse_spellings("A class", {name: [] for name in class_names}, ", ".join(map(str, given)))
    task = declared_task(sources, task)
    for source in sources:
        for note in source.notes:
            logger.info("%s: %s", source.path, note)
    every = [(i, record) for i, source in enumerate(sources) for record in source.records]
    labels = [as_text([names[i][label] for label in sources[i].labels(record)], task) for i, record in every]
    chosen = limited(labels, limit_per_class, seed)
    every, labels = [every[k] for k in chosen], [labels[k] for k in chosen]
    store = ImageStore(sources, channels, cache_gb)
    tried = try_images(store, [(i, record.name) for i, record in every], num_workers, check_images)
    digests, skipped = tried.digests, tried.skipped
    every, labels = [every[k] for k in tried.readable], [labels[k] for k in tried.readable]
    index = {name: k for k, name in enumerate(class_names)}
    targets = [as_target([names[i][label] for label in sources[i].labels(record)], index, task) for i, record in every]
    splits: list[str | None] = _splits(every, [classes_of(t) for t in targets], digests, val_fraction, seed)
    splits, counts = without_leaks(digests, labels, splits)
    counts = {"unreadable": len(skipped), **counts}
    items: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    rows = []
    for (i, record), label, target, split in zip(every, labels, targets, splits, strict=True):
        if split is not None:
            case = f"{split}: {sources[i].name}/{record.name}"
            items[split].append({"image": (i, record.name), "label": target, "case": case})
            rows.append((str(sources[i].path), record.name, label, record.patient or "", split))
    _check_classes(items, class_names, task)
    counts |= {split: len(items[split]) for split in SPLITS}
    logger.info("%d classes; %s", len(class_names), ", ".join(f"{count} {what}" for what, count in counts.items()))
    known = {"class_names": class_names, "task": task}
    return {**items, **known, "store": store, "skipped": skipped, "rows": rows, "counts": counts}


def _splits(
    every: Sequence[tuple[int, ImageRecord]],
    classes: Sequence[Sequence[int]],
    digests: Sequence[str | None],
    val_fraction: float,
    seed: int,
) -> list[str | None]:
    """The split of each image: its source's own, or made by patient or content for all images of a source without."""
    splits = [record.split for _, record in every]
    if None in splits and not 0 < val_fraction < 1:
        raise CrossDError(f"val_fraction must be between 0 and 1, got {val_fraction}. Example: --val_fraction 0.1.")
    for source in sorted({i for i, record in every if record.split is None}):
        of_source = [k for k, (i, _) in enumerate(every) if i == source]
        groups = [every[k][1].patient or digests[k] or every[k][1].name for k in of_source]
        shares = {"train": 1 - val_fraction, "val": val_fraction}
        made = stratified_split(groups, [classes[k] for k in of_source], shares, seed)
        for k, split in zip(of_source, made, strict=True):
            splits[k] = split
    return splits


def _check_classes(items: dict[str, list[dict[str, Any]]], class_names: Sequence[str], task: str) -> None:
    learnt, tried = ({c for item in items[split] for c in classes_of(item["label"])} for split in SPLITS)
    empty = [name for k, name in enumerate(class_names) if k not in learnt]
    if empty and task == "multiclass":
        raise CrossDError(
            f"Every class needs a training image that can be read, got none of {', '.join(empty)}. Add images, or "
            "leave the class out."
        )
    if empty:
        logger.warning("there is no training image with %s: these classes are not learnt", ", ".join(empty))
    if not items["val"]:
        raise CrossDError(
            "Training is judged on validation images, got none. Add some to val, raise --limit_per_class, or leave val "
            "out to have it split off from train by --val_fraction."
        )
    unseen = len(class_names) - len(tried)
    if unseen:
        logger.warning("%d of %d classes have no validation image: metrics are of the others", unseen, len(class_names))


def read_held_out(corpus: Mapping[str, Any], check_images: bool = True) -> dict[str, Any]:
    """The test images of all sources of a corpus, as `read_corpus` gives the others.

    A folder or zip has them in `test/<class>/…`, an `.npz` in `test_images`, RadImageNet's `…_train.csv` in
    `…_test.csv` beside it, another list in rows whose `split` is test, ChestX-ray14 in `test_list.txt`.

    Args:
        corpus: of `read_corpus`.
        check_images: read every test image first; one that cannot be read is left out and counted. Also count the test
            images whose content is among the training images; they stay, so that figures compare with published ones.

    Returns:
        `"items"`: `{"image": (source, name), "label": index, "case": text}`; `"store"`, which reads them; `"counts"`:
        test, unreadable, in_training.

    Raises:
        CrossDError: when no source has test images, none can be read, or one is of a class that training does not know.
    """
    sources: Sequence[ImageSource] = corpus["store"].sources
    held, names = [source.held_out() for source in sources], joined_names(sources)
    every = [(i, record) for i, source in enumerate(held) for record in source.records]
    if not every:
        raise CrossDError(
            f"A test needs images that training does not see, got none in {', '.join(str(s.path) for s in sources)}. "
            "Put them in test/CLASS/, or train by configs/pretrain_2d.json alone, which does not test."
        )
    for i, record in every:
        unknown = [label for label in held[i].labels(record) if label not in names[i]]
        if unknown:
            raise CrossDError(
                f"Test images are of the classes of training, {', '.join(names[i])}; got {unknown[0]!r} for "
                f"{record.name} in {sources[i].path}. Rename or remove it."
            )
    store = ImageStore(held, corpus["store"].channels)
    tried = try_images(store, [(i, record.name) for i, record in every], check=check_images)
    in_training = 0
    if check_images:
        known = set(try_images(corpus["store"], [item["image"] for item in corpus["train"]]).digests)
        in_training = sum(digest in known for digest in tried.digests)
        if in_training:
            logger.warning("%d of %d test images are among the training images too", in_training, len(tried.digests))
    classes = {name: index for index, name in enumerate(corpus["class_names"])}
    items = [
        {
            "image": (i, record.name),
            "label": as_target([names[i][label] for label in held[i].labels(record)], classes, corpus["task"]),
            "case": f"test: {sources[i].name}/{record.name}",
            "patient": record.patient or f"{i}/{record.name}",
        }
        for i, record in (every[k] for k in tried.readable)
    ]
    counts = {"test": len(items), "unreadable": len(tried.skipped), "in_training": in_training}
    return {"items": items, "store": store, "counts": counts}
