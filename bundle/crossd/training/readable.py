"""Which cases can be read: every one is tried before training starts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from crossd.data.delimited import write_table
from crossd.data.splits import SPLITS
from crossd.errors import CrossDError
from crossd.inference import CaseDataset
from crossd.processes import on_first

logger = logging.getLogger(__name__)
Item = Mapping[str, Any]


class _Trial(Dataset):
    """For each case why it cannot be read (None if it can), and the bytes and size of its preprocessed image."""

    def __init__(self, cases: Sequence[Item], transform: Callable[[Any], Item]) -> None:
        self.dataset = CaseDataset(cases, transform)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[str | None, int, tuple[int, ...]]:
        item = self.dataset[index]
        image = item.image
        return (item.error, 0, ()) if image is None else (None, image.nbytes, tuple(image.shape[1:]))


def readable_cases(
    cases: Mapping[str, Any],
    transform: Callable[[Any], Item],
    output_dir: str | None,
    skip_unreadable: bool = False,
    num_workers: int = 0,
    splits: Sequence[str] = SPLITS,
    cache_gb: float = 0.0,
    equal_sizes: bool = False,
) -> dict[str, Any]:
    """Try to read and preprocess every case, and leave out or refuse those that fail.

    Of several processes the first does it for all.

    Args:
        cases: what `crossd.data.read_labels` returns.
        transform: the deterministic preprocessing.
        output_dir: where `skipped.csv` is written (case, source, split, reason).
        skip_unreadable: leave unreadable cases out instead of refusing them.
        cache_gb: GiB of memory for the preprocessed images.
        equal_sizes: whether batches of several whole training volumes will be made, which have one size.

    Returns:
        For each of the splits the cases that can be read, `"bytes"`, what all of them need in memory, and
        `"cache_rate"`, the part of them that `cache_gb` holds.

    Raises:
        CrossDError: naming every unreadable case and why, unless they are skipped; when none is left of a split; and
            for training volumes of several sizes that will be batches.

    >>> readable_cases({"train": [], "val": [], "test": []}, lambda item: item, None)
    {'train': [], 'val': [], 'test': [], 'bytes': 0, 'cache_rate': 1.0}
    """

    def tried() -> dict[str, Any]:
        every = [case for split in splits for case in cases[split]]
        own = torch.Generator()  # so that the global one, which initialises networks, is not drawn from
        trial = DataLoader(_Trial(every, transform), batch_size=None, num_workers=num_workers, generator=own)
        outcomes = list(tqdm(trial, desc="reading cases", total=len(every), disable=not every))
        reasons = {case["case"]: error for case, (error, *_) in zip(every, outcomes, strict=True) if error is not None}
        if reasons and not skip_unreadable:
            listed = "; ".join(f"{case}: {reason}" for case, reason in reasons.items())
            raise CrossDError(
                f"Every case must be readable, got {len(reasons)} of {len(every)} that are not: {listed}. "
                "Repair or remove them, or leave them out with --skip_unreadable true."
            )
        if reasons and output_dir is not None:
            path = Path(output_dir) / "skipped.csv"
            skipped = [case for case in every if case["case"] in reasons]
            rows = [(case["case"], case["source"], case["split"], reasons[case["case"]]) for case in skipped]
            write_table(path, ("case", "source", "split", "reason"), rows)
            logger.warning("%d unreadable cases are left out: see %s", len(skipped), path)
        kept = {split: [case for case in cases[split] if case["case"] not in reasons] for split in splits}
        for split in splits:
            if cases[split] and not kept[split]:
                raise CrossDError(
                    f"At least one {split} case must be readable, got {len(cases[split])} that are not. Repair them."
                )
        if equal_sizes:
            sizes = {case["case"]: tuple(size) for case, (_, _, size) in zip(every, outcomes, strict=True)}
            _check_sizes({case["case"]: sizes[case["case"]] for case in kept["train"]})
        return {**kept, "bytes": sum(size for _, size, _ in outcomes)}

    found = on_first(tried)
    return {**found, "cache_rate": cache_rate(found["bytes"], cache_gb)}


def _check_sizes(sizes: Mapping[str, tuple[int, ...]]) -> None:
    """By case."""
    first: dict[tuple[int, ...], str] = {}
    for case, size in sizes.items():
        first.setdefault(size, case)
    if len(first) > 1:
        listed = ", ".join(f"{'×'.join(map(str, size))} ({case})" for size, case in list(first.items())[:3])
        raise CrossDError(
            f"Whole volumes (roi_size null) in one batch have one size; training cases have {len(first)}: {listed}. "
            "Pass --batch_size 1, or a window by --roi_size."
        )


def cache_rate(needed_bytes: int, cache_gb: float) -> float:
    """Part of the preprocessed cases that fits into `cache_gb` GiB.

    >>> cache_rate(8 * 2**30, 4)
    0.5
    >>> cache_rate(0, 4)
    1.0
    """
    return min(1.0, cache_gb * 2**30 / needed_bytes) if needed_bytes else 1.0
