"""Doing the runs: several at a time, block after block, within a budget, with the time that is left."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from scripts.benchmarks.runs.grid import Block, Cell
from scripts.benchmarks.runs.store import Run, StoredRuns

Perform = Callable[[Block, str, Any, Any], dict[str, Any]]  # block, method, inputs and results to the stored run


@dataclass(frozen=True)
class Outcome:
    """How many runs were done now, how many are still to be done, and how many blocks are complete."""

    done: int
    left: int
    complete: int


class Estimates:
    """How long runs take, from those that were done: of the same cell and method, or the nearest there is.

    >>> estimates = Estimates()
    >>> cell = Cell("a", "probe", 0.1)
    >>> estimates.note(Block(cell, 0), "raw", 10.0)
    >>> estimates.of((Block(cell, 1), "raw")), estimates.of((Block(Cell("a", "full", 0.1), 0), "rest"))
    (10.0, 10.0)
    """

    def __init__(self) -> None:
        self.seconds: dict[tuple[Cell, str], list[float]] = {}

    def note(self, block: Block, method: str, seconds: float) -> None:
        self.seconds.setdefault((block.cell, method), []).append(seconds)

    def of(self, run: Run) -> float:
        """Seconds; 0 when nothing was done yet."""
        block, method = run
        rules: Sequence[Callable[[Cell, str], bool]] = (
            lambda cell, name: (cell, name) == (block.cell, method),
            lambda cell, name: cell == block.cell,
            lambda cell, name: (cell.protocol, cell.fraction) == (block.cell.protocol, block.cell.fraction),
            lambda cell, name: True,
        )
        for rule in rules:
            found = [value for key, values in self.seconds.items() if rule(*key) for value in values]
            if found:
                return statistics.median(found)
        return 0.0


def execute(
    blocks: Sequence[Block],
    methods: Sequence[str],
    perform: Perform,
    inputs: Any,
    results: StoredRuns,
    budget_hours: float | None = None,
    workers: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Do the runs that are not stored yet, block by block.

    With a budget, no block is begun that by the estimate would not be finished in time, so what is there is complete
    blocks. A stop (Ctrl-C, a kill) loses at most the block in progress; what it has done is kept and gone on with.

    Args:
        blocks: in the order of running.
        methods: all of a block's runs.
        perform: does one run and stores it, with its "seconds"; a function of a module.
        inputs, results: what from, and where to.
        budget_hours: from now; None: until everything is done.
        workers: processes, one thread each; 1: this process, with its threads.
        clock: seconds.
    """
    start = clock()
    estimates = Estimates()
    for block, method in results.runs():
        estimates.note(block, method, results.read(block, method)["seconds"])
    waiting = {block: [name for name in methods if (block, name) not in results] for block in blocks}
    total = sum(map(len, waiting.values()))
    done = 0
    bar = tqdm(total=total, unit="run", dynamic_ncols=True)

    def fits(block: Block) -> bool:
        if budget_hours is None:
            return True
        needed = sum(estimates.of((block, name)) for name in waiting[block]) / workers
        return clock() - start + needed <= 3600 * budget_hours

    def finished(run: Run, seconds: float) -> None:
        nonlocal done
        done += 1
        estimates.note(*run, seconds)
        waiting[run[0]].remove(run[1])
        left = sum(estimates.of((block, name)) for block, names in waiting.items() for name in names) / workers
        bar.set_postfix_str(f"{run[0].cell} seed {run[0].seed} {run[1]}; about {left / 60:.0f} min left")
        bar.update()

    with bar, _Workers(workers) as pool:
        for block in blocks:
            if not waiting[block]:
                continue
            if not fits(block):
                break
            for name in list(waiting[block]):
                for run, seconds in pool.put((block, name), inputs, results, perform):
                    finished(run, seconds)
        for run, seconds in pool.rest():
            finished(run, seconds)
    left = sum(map(len, waiting.values()))
    return Outcome(done, left, sum(not names for names in waiting.values()))


class _Workers:
    """Runs in the order given, at most so many at a time; none waits in a queue, so a stop loses little."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.pool: ProcessPoolExecutor | None = None
        self.going: dict[Future[float], Run] = {}

    def __enter__(self) -> _Workers:
        if self.workers > 1:
            context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
            self.pool = ProcessPoolExecutor(self.workers, context, initializer=_begin_worker)
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def put(self, run: Run, inputs: Any, results: StoredRuns, perform: Perform) -> list[tuple[Run, float]]:
        """Begin a run as soon as a worker is free; the runs that have ended by then, with their seconds."""
        if self.pool is None:
            return [(run, _seconds(run, inputs, results, perform))]
        ended = self._collect() if len(self.going) >= self.workers else []
        self.going[self.pool.submit(_seconds, run, inputs, results, perform)] = run
        return ended

    def rest(self) -> list[tuple[Run, float]]:
        """Wait for all."""
        ended: list[tuple[Run, float]] = []
        while self.going:
            ended += self._collect()
        return ended

    def _collect(self) -> list[tuple[Run, float]]:
        done, _ = wait(self.going, return_when=FIRST_COMPLETED)
        return [(self.going.pop(future), future.result()) for future in done]


def _begin_worker() -> None:
    """One thread, and an end with the parent: a worker left by a killed benchmark would write into the next one's."""
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()

    def end_with_it() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()


def _seconds(run: Run, inputs: Any, results: StoredRuns, perform: Perform) -> float:
    return float(perform(*run, inputs, results)["seconds"])
