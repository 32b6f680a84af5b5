"""No operator or network has become twice as slow, beside the plain one, as docs/performance/guard.json says it is.

Only ratios are compared, never times; contestants take turns, and what counts is the CPU of the process, on which other
load on the machine weighs little.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch

from scripts.benchmarks.speed import calls
from scripts.benchmarks.speed.calls import prepare
from scripts.benchmarks.speed.results import Results
from scripts.benchmarks.speed.rows import rows
from scripts.benchmarks.speed.timing import Quartiles, ratios, take_turns

REGRESSION = 2.0
ROUNDS = 3
TRIES = 4  # other work on the machine only ever makes a ratio worse, so that the best of a few counts


@pytest.fixture(autouse=True)
def _cpu_time(monkeypatch):
    monkeypatch.setattr(calls, "time", SimpleNamespace(perf_counter=time.process_time))


@pytest.mark.slow
@pytest.mark.parametrize("row", rows("guard"), ids=lambda row: row.name)
def test_no_regression(row, root):
    documented = Results(root / "docs" / "performance")[row]
    limits = {name: REGRESSION * Quartiles.of(values).median for name, values in ratios(documented["seconds"]).items()}
    before = torch.get_num_threads()
    torch.set_num_threads(documented["threads"])
    try:
        measured = dict.fromkeys(limits, float("inf"))
        for _ in range(TRIES):
            measured = {name: min(measured[name], again) for name, again in _measured(row).items()}
            if all(measured[name] <= limits[name] for name in limits):
                break
    finally:
        torch.set_num_threads(before)
    slow = {name: f"{measured[name]:.3g} > {limits[name]:.3g}" for name in measured if measured[name] > limits[name]}
    assert not slow, f"{row.name}: twice as slow beside {row.contestants[0]} as documented, or more: {slow}"


def _measured(row):
    contestants = {name: prepare(row, name) for name in row.contestants}
    return {name: Quartiles.of(values).median for name, values in ratios(take_turns(contestants, ROUNDS)).items()}


@pytest.mark.slow
def test_a_layer_twice_as_slow_is_seen(root, monkeypatch):
    """The guard itself: a convolution done six times fails it, however noisy the machine."""
    row = rows("guard")[0]
    real = prepare

    def slowed(row, name):
        call = real(row, name)
        return call if name == row.contestants[0] else lambda: sum(call() for _ in range(6))

    monkeypatch.setitem(globals(), "prepare", slowed)
    with pytest.raises(AssertionError, match=r"twice as slow beside Conv2d as documented, or more: {'CrossDConv'"):
        test_no_regression(row, root)
