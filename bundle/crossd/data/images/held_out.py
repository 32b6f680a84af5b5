"""The test images of 2D sources, which training never opens: read once, when a run is over."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from crossd.data.images.corpus import joined_names
from crossd.data.images.sources import ImageSource, as_target
from crossd.data.images.store import ImageStore, try_images
from crossd.errors import CrossDError

logger = logging.getLogger(__name__)


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
    in_training, readable = 0, every
    if check_images:
        trials = try_images(store, [(i, record.name) for i, record in every])
        readable = [pair for pair, trial in zip(every, trials, strict=True) if trial.error is None]
        known = {trial.digest for trial in try_images(corpus["store"], [item["image"] for item in corpus["train"]])}
        in_training = sum(trial.digest in known for trial in trials if trial.error is None)
        if not readable:
            raise CrossDError(f"At least some test images must be readable, got none of {len(every)}. Repair them.")
        if in_training:
            logger.warning("%d of %d test images are among the training images too", in_training, len(readable))
    classes = {name: index for index, name in enumerate(corpus["class_names"])}
    items = [
        {
            "image": (i, record.name),
            "label": as_target([names[i][label] for label in held[i].labels(record)], classes, corpus["task"]),
            "case": f"test: {sources[i].name}/{record.name}",
            "patient": record.patient or f"{i}/{record.name}",
        }
        for i, record in readable
    ]
    absent = sum(len(source.absent) for source in held)
    counts = {"test": len(items), "unreadable": len(every) - len(items) + absent, "in_training": in_training}
    return {"items": items, "store": store, "counts": counts}
