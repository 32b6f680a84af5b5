"""Turns, ratios and quartiles, on contestants whose times are known."""

from __future__ import annotations

import pytest
from crossd.errors import CrossDError

from scripts.benchmarks.speed.timing import Quartiles, ratios, take_turns


class Recorded:
    """Contestants that need known seconds and write down when they are called."""

    def __init__(self, **seconds):
        self.calls = []
        self.contestants = {name: lambda name=name: self.call(name, seconds[name]) for name in seconds}

    def call(self, name, seconds):
        self.calls.append(name)
        return seconds


def test_every_contestant_is_called_once_a_turn_and_each_begins_in_turn():
    recorded = Recorded(a=0.1, b=0.2, c=0.3)
    times = take_turns(recorded.contestants, 3, warm_up=2)
    assert times == {"a": [0.1] * 3, "b": [0.2] * 3, "c": [0.3] * 3}
    assert recorded.calls == ["a", "a", "b", "b", "c", "c", *"abc", *"bca", *"cab"]


def test_slow_contestants_take_part_in_fewer_turns():
    times = take_turns(Recorded(a=1.0, slow=5.0, slower=50.0).contestants, 9, budget=20)
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 9, "slow": 4, "slower": 1}


def test_the_first_and_its_like_take_at_least_three_turns():
    times = take_turns(Recorded(a=30.0, like=150.0, more=151.0).contestants, 9, budget=20)
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "like": 3, "more": 1}


def test_what_is_known_to_be_very_slow_is_not_warmed_up():
    recorded = Recorded(a=0.1, slow=2.0, slower=9.0)
    take_turns(recorded.contestants, 1, {"slow": 2.0, "slower": 9.0})
    assert recorded.calls == ["a", "a", "slow", "a", "slow", "slower"]


def test_a_ratio_is_formed_within_a_turn():
    """The machine slows down by ten from turn to turn: ratios do not see it."""
    times = {"plain": [1.0, 10.0, 100.0], "other": [1.5, 15.0, 150.0], "rare": [3.0]}
    assert ratios(times) == {"plain": [1.0] * 3, "other": [1.5] * 3, "rare": [3.0]}


def test_quartiles():
    found = Quartiles.of([4.0, 1.0, 2.0, 3.0, 100.0])
    assert (found.low, found.median, found.high) == (2.0, 3.0, 4.0)
    assert [str(Quartiles.of([value])) for value in (1.234, 12.34, 123.4)] == [
        "1.23 (1.23–1.23)",
        "12.3 (12.3–12.3)",
        "123 (123–123)",
    ]


def test_nothing_to_time():
    with pytest.raises(CrossDError, match=r"needs contestants and at least 1 round; got 0 and 3"):
        take_turns({}, 3)
    with pytest.raises(CrossDError, match=r"got 1 and 0"):
        take_turns(Recorded(a=1.0).contestants, 0)
