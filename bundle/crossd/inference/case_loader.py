"""Cases without an answer, in order, prepared while the network works on the ones before, and small ones in groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from monai.data import DataLoader
from torch.utils.data import Sampler

from crossd.inference.case_dataset import Case, CaseDataset, CaseGroup, collate_cases
from crossd.inference.run_journal import RunJournal
from crossd.processes import process_count, rank

T = TypeVar("T")


class PendingCases(Sampler[int]):
    """The cases of a data set that a journal has no answer for, in order; of several processes, this one's share.

    Cases are dealt in blocks of what one pass of the network takes, so that those which are classified together in one
    process are so in several: the answers are the same to the last bit, not only to rounding.

    >>> import tempfile
    >>> dataset = CaseDataset([{"image": name} for name in "abcde"], dict)
    >>> list(PendingCases(dataset, RunJournal(tempfile.mkdtemp())))
    [0, 1, 2, 3, 4]
    """

    def __init__(self, dataset: CaseDataset, journal: RunJournal, block: int = 1) -> None:
        self.dataset = dataset
        self.journal = journal
        self.block = max(1, block)

    @cached_property
    def _own(self) -> list[int]:  # not before it is asked for: MONAI makes every part of a config to look at it
        pending = self.journal.pending(self.dataset.data, self.dataset.names)
        turns = range(self.block * rank(), len(pending), self.block * process_count())
        return [number for first in turns for number in pending[first : first + self.block]]

    def __iter__(self) -> Iterator[int]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


class CaseLoader(DataLoader):
    """MONAI's `DataLoader` for cases: batches of one case, in the order of the data set.

    While the network works, a thread prepares what comes next and then waits until it is asked for, so memory holds
    two large cases, not more. (MONAI's `ThreadDataLoader` prepares two ahead, and ends the run without a word when its
    thread fails; here the exception reaches the caller.)

    Cases that fit into one window are prepared in groups of up to `sw_batch_size`. Each has the `group` that it shares
    with these, and its `place` in it, so that `classify_cases` can pass them through the network together. A large case
    is a group of its own.

    Args:
        dataset: a `CaseDataset`.
        roi_size: the inferer's window; None or values below 1, the whole axis, make no groups.
        sw_batch_size: windows in one pass of the network.
        num_workers: processes that prepare cases; 0: the thread does.
        journal: of the run: cases that have their answers there are left out, and of several processes each takes its
            share (see `PendingCases`); None for all cases.

    >>> import torch
    >>> def read(item):
    ...     return {"image": torch.zeros(1, 8, 8, item["image"])}
    >>> cases = [{"image": width} for width in (8, 5, 8, 20, 6)]
    >>> loader = CaseLoader(CaseDataset(cases, read), roi_size=8, sw_batch_size=2)
    >>> [len(batch[0].group.images) for batch in loader]
    [2, 2, 1, 1, 1]
    """

    def __init__(
        self,
        dataset: CaseDataset,
        roi_size: Sequence[int] | int | None = None,
        sw_batch_size: int = 1,
        num_workers: int = 0,
        journal: RunJournal | None = None,
    ) -> None:
        sampler = None if journal is None else PendingCases(dataset, journal, sw_batch_size)
        options: dict[str, Any] = {"batch_size": 1, "shuffle": False, "sampler": sampler, "collate_fn": collate_cases}
        super().__init__(dataset, num_workers=num_workers, **options)
        self.roi_size = roi_size
        self.sw_batch_size = sw_batch_size

    def __iter__(self) -> Iterator[list[Case]]:  # type: ignore[override]
        cases = (case for batch in super().__iter__() for case in batch)
        for group in one_ahead(self._groups(cases)):
            shared = CaseGroup([case.image for case in group])
            for place, case in enumerate(group):
                yield [replace(case, group=shared, place=place)]

    def _groups(self, cases: Iterator[Case]) -> Iterator[list[Case]]:
        group: list[Case] = []
        for case in cases:
            if not self._is_small(case):
                if group:
                    yield group
                group = []
                yield [case]
                continue
            group.append(case)
            if len(group) >= self.sw_batch_size:
                yield group
                group = []
        if group:
            yield group

    def _is_small(self, case: Case) -> bool:
        """Whether the case is one window; one that failed takes no memory and is none."""
        if case.image is None:
            return True
        shape = case.image.shape[1:]
        window = (self.roi_size,) * len(shape) if isinstance(self.roi_size, int) else self.roi_size
        return window is not None and all(w > 0 and size <= w for size, w in zip(shape, window, strict=True))


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items in the same order; while one is used a thread makes the next one, and no further.

    An exception in the iterator is raised where its item would have been.

    >>> list(one_ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="one_ahead") as pool:
        coming: Any = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item
