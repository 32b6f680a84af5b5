"""Which cases each process looks at."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from monai.data import DistributedSampler
from torch.utils.data import DistributedSampler as EvenSampler
from torch.utils.data import Sampler, SequentialSampler

from crossd.errors import CrossDError
from crossd.processes import process_count, rank


def training_sampler(dataset: Sized, seed: int = 0) -> Sampler[Any]:
    """Every case once in an order that is drawn anew in each epoch; the processes take turns, and have as many each.

    Args:
        dataset: the training cases.
        seed: of the order.

    >>> sorted(training_sampler("abcde"))
    [0, 1, 2, 3, 4]
    """
    return EvenSampler(dataset, process_count(), rank(), shuffle=True, seed=seed)  # type: ignore[arg-type]


def validation_sampler(dataset: Sized, number: int | None = None, count: int | None = None) -> Sampler[Any]:
    """Every case once, in order; of several processes each takes every `count`-th.

    Args:
        dataset: the validation cases.
        number: of a process; None: this one's.
        count: how many there are; None: those of this run.

    Raises:
        CrossDError: for fewer cases than processes: one without any could not take part in the metrics.

    >>> list(validation_sampler("abcde", 1, 2))
    [1, 3]
    """
    number, count = rank() if number is None else number, count or process_count()
    if count == 1:
        return SequentialSampler(dataset)
    if len(dataset) < count:
        raise CrossDError(
            f"Every process needs a validation case, got {len(dataset)} cases for {count} processes. Start fewer "
            "by --nproc_per_node, or give more cases the split val."
        )
    options = {"even_divisible": False, "num_replicas": count, "rank": number, "shuffle": False}
    return DistributedSampler(dataset, **options)  # type: ignore[arg-type]
