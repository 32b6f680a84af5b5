"""Peak memory of a process of its own, on allocations of known size."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from scripts.benchmarks.speed.calls import prepare
from scripts.benchmarks.speed.memory import available, peak_memory
from scripts.benchmarks.speed.rows import Row

pytestmark = pytest.mark.slow  # each is a process of its own
MB = 10**6


def fills(kept: int, passing: int):
    """A contestant that holds `kept` bytes and needs `passing` more in each call."""
    weights = np.ones(kept, dtype=np.uint8)

    def call():
        return float(np.ones(passing, dtype=np.uint8)[0] * weights[0])

    return call


def builds(passing: int):
    """A contestant that needs memory only while it is built."""
    assert np.ones(passing, dtype=np.uint8).any()
    return lambda: 0.0


def sleeps(seconds: float):
    return lambda: time.sleep(seconds) or seconds


def dies():
    os._exit(9)


def test_known_allocations():
    peak = peak_memory(fills, 50 * MB, 200 * MB)
    assert peak.reason is None
    assert peak.built == pytest.approx(50 * MB, abs=5 * MB)
    assert peak.peak == pytest.approx(250 * MB, abs=10 * MB)


def test_what_building_needs_in_passing_does_not_count():
    assert peak_memory(builds, 300 * MB).peak < 20 * MB


def test_no_memory_left_over_from_another():
    peak_memory(fills, 300 * MB, 300 * MB)
    assert peak_memory(fills, 1 * MB, 1 * MB).peak < 20 * MB


def test_what_does_not_fit_says_so():
    assert peak_memory(fills, 1 * MB, 10**9, limit=500 * MB).reason == "memory"
    assert peak_memory(dies).reason == "memory"


def test_what_takes_too_long_says_so():
    assert peak_memory(sleeps, 30.0, timeout=1.0).reason == "time"


def test_the_limit_of_torch_too():
    row = Row("stages", "layer", (64, 512, 3), ("Conv2d",), (8, 64, 512, 512), "forward")  # 4.3 GB of output
    assert peak_memory(prepare, row, "Conv2d", limit=2 * 10**9).reason == "memory"
    assert available() > 0


def test_a_layer_needs_its_weights_input_and_output():
    row = Row("stages", "layer", (16, 64, 3), ("Conv2d",), (4, 16, 256, 256), "forward")
    expected = 4 * 4 * (16 + 64) * 256 * 256
    assert expected < peak_memory(prepare, row, "Conv2d").peak < 2.5 * expected  # oneDNN may reorder a copy of each
