"""Which validation cases each process looks at."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from monai.data import DistributedSampler
from torch.utils.data import Sampler, SequentialSampler

from crossd.errors import CrossDError


def validation_sampler(dataset: Sized, rank: int = 0, world_size: int = 1) -> Sampler[Any]:
    """Every case once, in order; of several processes each takes every `world_size`-th.

    Args:
        dataset: the validation cases.
        rank: of this process.
        world_size: how many there are.

    Raises:
        CrossDError: for fewer cases than processes: one without any could not take part in the metrics.

    >>> list(validation_sampler("abcde", 1, 2))
    [1, 3]
    """
    if world_size == 1:
        return SequentialSampler(dataset)
    if len(dataset) < world_size:
        raise CrossDError(
            f"Every process needs a validation case, got {len(dataset)} cases for {world_size} processes. Start fewer "
            "by --nproc_per_node, or give more cases the split val."
        )
    options = {"even_divisible": False, "num_replicas": world_size, "rank": rank, "shuffle": False}
    return DistributedSampler(dataset, **options)  # type: ignore[arg-type]
