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
