"""Which cases a process works on: those without an answer yet, in turns of blocks."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

from crossd.inference.case_dataset import CaseDataset
from crossd.inference.run_journal import RunJournal
from crossd.processes import process_count, rank


class PendingCases(Sampler[int]):
    """The cases of a data set that a journal has no answer for, in order; of several processes, this one's share.

    Cases are dealt in blocks, so that those which are classified together in one process are so in several: the answers
    are the same to the last bit, not only to rounding.

    Args:
        dataset: all cases.
        journal: of the run.
        block: cases in a turn; those that one pass of the network takes.

    >>> import tempfile
    >>> dataset = CaseDataset([{"image": name} for name in "abcde"], dict)
    >>> list(PendingCases(dataset, RunJournal(tempfile.mkdtemp())))
    [0, 1, 2, 3, 4]
    """

    def __init__(self, dataset: CaseDataset, journal: RunJournal, block: int = 1) -> None:
        self.dataset = dataset
        self.journal = journal
        self.block = max(1, block)
        self._found: list[int] | None = None

    def _own(self) -> list[int]:
        if self._found is None:  # not before it is asked for: MONAI makes every part of a config to look at it
            pending = self.journal.pending(self.dataset.data, self.dataset.names)
            turns = range(self.block * rank(), len(pending), self.block * process_count())
            self._found = [number for first in turns for number in pending[first : first + self.block]]
        return self._found

    def __iter__(self) -> Iterator[int]:
        return iter(self._own())

    def __len__(self) -> int:
        return len(self._own())
