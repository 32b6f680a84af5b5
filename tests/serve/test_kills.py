"""Law: however often and whenever the watcher is killed, every series is answered, by one object."""

from __future__ import annotations

import random
import signal

import pytest
from crossd.serve import STATE

from ..drivers import drive
from .kill_driver import POINTS
from .made import ROOT, make_series

SERIES = 4


def run(tmp_path, incoming, sink, weights, kills):
    for seed in range(SERIES):
        make_series(incoming / str(seed), seed=seed, slices=3)
    spec = {"folder": str(incoming), "node": sink.node, "bundle": str(ROOT), "weights": str(weights), "kills": kills}
    *killed, last = drive("serve/kill_driver.py", tmp_path, spec)
    assert last == 0
    state = incoming / STATE
    assert {file.stem for file in (state / "sent").iterdir()} == set(sink.received)
    assert list((state / "outbox").iterdir()) == []
    described = {
        times[0].CurrentRequestedProcedureEvidenceSequence[0].StudyInstanceUID for times in sink.received.values()
    }
    assert len(described) == len(sink.received) == SERIES  # nothing lost, nothing answered twice
    assert all(again == times[0] for times in sink.received.values() for again in times)  # the same object
    return killed


@pytest.mark.slow
def test_killed_at_awkward_points(tmp_path, incoming, sink, weights):
    assert run(tmp_path, incoming, sink, weights, list(POINTS)) == [signal.SIGKILL] * len(POINTS)
    counts = sorted(len(times) for times in sink.received.values())
    assert counts == [1, 1, 1, 2]  # once more, where nobody could know that it was accepted


@pytest.mark.slow
def test_killed_at_any_time(tmp_path, incoming, sink, weights):
    chance = random.Random(0)
    kills = sorted(chance.uniform(0.1, 4.0) for _ in range(25))  # the shortest first: a fast machine is done in few
    killed = run(tmp_path, incoming, sink, weights, kills)
    assert killed.count(signal.SIGKILL) >= 3
