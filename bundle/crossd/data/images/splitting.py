"""Which images train and which validate, and how many of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossd.data.splits import stratified_split
from crossd.errors import CrossDError


def limited(labels: Sequence[str], limit: int | None, seed: int = 0) -> list[int]:
    """Which images to take, so that no class has more than `limit`: chosen at random, in their order.

    >>> limited(["ct", "mr", "ct", "ct"], 1)
    [1, 2]
    >>> limited(["ct", "mr"], None)
    [0, 1]
    """
    if limit is None:
        return list(range(len(labels)))
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise CrossDError(f"limit_per_class must be a number of images, 1 or more, or null, got {limit!r}.")
    order = np.random.default_rng(seed).permutation(len(labels))
    taken: dict[str, int] = {}
    chosen = []
    for k in order.tolist():
        taken[labels[k]] = taken.get(labels[k], 0) + 1
        if taken[labels[k]] <= limit:
            chosen.append(k)
    return sorted(chosen)


def split_images(
    groups: Sequence[str], classes: Sequence[int | Sequence[int]], val_fraction: float, seed: int = 0
) -> list[str]:
    """Train and val, stratified by class, of which an image may have several; a group (a patient, or equal content)
    stays together.

    >>> split_images(list("aabbccdd"), [0, 0, 0, 0, 1, 1, 1, 1], 0.5).count("val")
    4
    """
    if not 0 < val_fraction < 1:
        raise CrossDError(f"val_fraction must be between 0 and 1, got {val_fraction}. Example: --val_fraction 0.1.")
    return stratified_split(
        groups,
        [[c] if isinstance(c, int) else c for c in classes],
        {"train": 1 - val_fraction, "val": val_fraction},
        seed,
    )


def without_leaks(
    digests: Sequence[str | None], labels: Sequence[str], splits: Sequence[str | None]
) -> tuple[list[str | None], dict[str, int]]:
    """Take images out of train whose content is in val too.

    Args:
        digests: of the content of each image; None where it is not known.
        labels: their classes.
        splits: `"train"` or `"val"`.

    Returns:
        The splits, None for what is taken out, and how many images are `"duplicates"` of an earlier one, how many of
        those contents have several classes (`"contradictory"`), and how many images were taken out (`"leaking"`).

    >>> without_leaks(["x", "x", "y", "y"], ["ct"] * 4, ["train", "val", "train", "train"])
    ([None, 'val', 'train', 'train'], {'duplicates': 2, 'contradictory': 0, 'leaking': 1})
    """
    in_val = {digest for digest, split in zip(digests, splits, strict=True) if split == "val" and digest is not None}
    kept = [
        None if split == "train" and digest in in_val else split for digest, split in zip(digests, splits, strict=True)
    ]
    classes: dict[str, set[str]] = {}
    known = [(digest, label) for digest, label in zip(digests, labels, strict=True) if digest is not None]
    for digest, label in known:
        classes.setdefault(digest, set()).add(label)
    return kept, {
        "duplicates": len(known) - len(classes),
        "contradictory": sum(len(found) > 1 for found in classes.values()),
        "leaking": sum(split is None for split in kept),
    }
