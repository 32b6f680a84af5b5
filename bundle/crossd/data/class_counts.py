"""How many cases each class has in each split: told before training, and what cannot be trained or measured refused."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from crossd.data.delimited import write_table
from crossd.data.splits import SPLITS
from crossd.errors import CrossDError, counted

logger = logging.getLogger(__name__)
Label = int | Sequence[int]
FEW = 10  # cases of a class on which no figure says much: of 10 right ones the true rate may still be 70 %
_BAR = 30  # signs


def class_counts(class_names: Sequence[str], labels: Mapping[str, Sequence[Label]]) -> dict[str, dict[str, int]]:
    """Cases of each class in each split.

    Args:
        labels: by split, of each case: a class index, or for multilabel 0 or 1 `(classes,)`.

    >>> class_counts(["a", "b"], {"train": [0, 1, 1], "val": [1], "test": []})
    {'a': {'train': 1, 'val': 0, 'test': 0}, 'b': {'train': 2, 'val': 1, 'test': 0}}
    """

    def indices(label: Label) -> list[int]:
        return [int(label)] if isinstance(label, int) else [index for index, one in enumerate(label) if one]

    found = {split: Counter(i for label in listed for i in indices(label)) for split, listed in labels.items()}
    return {name: {split: found[split][index] for split in labels} for index, name in enumerate(class_names)}


def bars(counts: Mapping[str, Mapping[str, int]]) -> str:
    """The counts as a table of text, with a bar for all cases of each class.

    >>> print(bars({"a": {"train": 1, "val": 0}, "long name": {"train": 5, "val": 1}}))
    class      train    val
    a              1      0  #####
    long name      5      1  ##############################
    """
    splits = list(next(iter(counts.values()), {}))
    width = max([len("class"), *map(len, counts)])
    most = max([1, *(sum(of_class.values()) for of_class in counts.values())])
    lines = [f"{'class':<{width}}" + "".join(f"{split:>7}" for split in splits)]
    for name, of_class in counts.items():
        number = "".join(f"{of_class[split]:>7}" for split in splits)
        lines.append(f"{name:<{width}}{number}  {'#' * -(-_BAR * sum(of_class.values()) // most)}".rstrip())
    return "\n".join(lines)


def tell_counts(counts: Mapping[str, Mapping[str, int]], where: str) -> None:
    """Log the table, and warn of classes that are too rare to be learnt or measured."""
    logger.info("cases of each class in %s:\n%s", where, bars(counts))
    for split, remark in (
        ("train", "little can be learnt of them"),
        ("val", "the best epoch is chosen without knowing how good they are"),
        ("test", "their figures will say little"),
    ):
        of_split = {name: of_class[split] for name, of_class in counts.items() if split in of_class}
        rare = [f"{name!r} ({count})" for name, count in of_split.items() if count < FEW]
        if rare and (any(of_split.values()) or split != "test"):
            logger.warning("fewer than %d %s cases of %s: %s", FEW, split, ", ".join(rare), remark)


def write_counts(path: Path, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Write them as a table: class, and a column for each split."""
    splits = list(next(iter(counts.values()), {}))
    write_table(path, ["class", *splits], [[name, *of_class.values()] for name, of_class in counts.items()])


def check_counts(counts: Mapping[str, Mapping[str, int]], where: str, allow_untested: bool = False) -> None:
    """Refuse classes without training cases, and without test cases where there is a test.

    >>> check_counts({"a": {"train": 1, "val": 1, "test": 0}, "b": {"train": 1, "val": 1, "test": 0}}, "labels.csv")
    """
    used = {split for of_class in counts.values() for split, count in of_class.items() if count}
    lacking = {split: [name for name, of_class in counts.items() if not of_class[split]] for split in used & {*SPLITS}}

    def listed(split: str) -> str:
        return ", ".join(f"{name!r} ({counted(sum(counts[name].values()), 'case')})" for name in lacking[split])

    if lacking.get("train"):
        raise CrossDError(
            f"Every class needs a training case, got none of {listed('train')} in {where}. "
            "Add cases, move some to train, or drop the class."
        )
    if lacking.get("test") and not allow_untested:
        raise CrossDError(
            f"Every class needs a test case, got none of {listed('test')} in {where}. Nobody would know how good the "
            "model is on it: add cases, move some to test, or pass --allow_untested true."
        )
    if "train" in used and "test" not in used:
        logger.warning(
            "%s: no case is for test, so the model will not be tested on cases that nothing was chosen by", where
        )
