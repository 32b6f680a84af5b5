"""Times that can be compared: contestants take turns in one process, and ratios are formed within each turn.

Machines change their speed from minute to minute. What two contestants need in the same turn differs much less, so a
ratio is formed per turn, and the median of these ratios is what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from crossd.errors import CrossDError

Timed = Callable[[], float]  # one call; returns the seconds that count
VERY_SLOW = 5.0  # seconds of a call


@dataclass(frozen=True)
class Quartiles:
    """Median and quartiles.

    >>> str(Quartiles.of([1.0, 1.1, 1.2]))
    '1.10 (1.05–1.15)'
    """

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Quartiles:
        low, median, high = np.percentile(values, [25, 50, 75]).tolist()
        return cls(low, median, high)

    def __str__(self) -> str:
        digits = 2 if self.median < 10 else 1 if self.median < 100 else 0
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}–{self.high:.{digits}f})"


def take_turns(
    contestants: Mapping[str, Timed],
    rounds: int,
    expected: Mapping[str, float] = MappingProxyType({}),
    *,
    warm_up: int = 2,
    slow: float = 1.0,
    budget: float = 12.0,
) -> dict[str, list[float]]:
    """Time contestants turn by turn.

    Each turn begins with another contestant, so that no one always follows the same neighbour. The first in the
    mapping, with which the others are compared, takes part in every turn.

    Args:
        contestants: each returns the seconds of one call that count.
        rounds: turns; at least 1.
        expected: seconds of a call, by name, as far as they are known.
        warm_up: calls of each before the first turn; one for those that are slow, none for those that are expected to
            be very slow: what a first call does once does not show in seconds.
        slow: seconds of a call.
        budget: seconds for a contestant. A slower one takes part only in as many of the first turns as fit, and at
            least in one; the first contestant and those up to five times as slow in at least three.

    Returns:
        Seconds per turn, by name.

    Raises:
        CrossDError: no contestants or no rounds.

    >>> times = take_turns({"fast": lambda: 0.001, "slow": lambda: 15.0}, rounds=4)
    >>> {name: len(seconds) for name, seconds in times.items()}
    {'fast': 4, 'slow': 1}
    """
    if not contestants or rounds < 1:
        raise CrossDError(f"Timing needs contestants and at least 1 round; got {len(contestants)} and {rounds}.")
    names = list(contestants)
    allowed: dict[str, int] = {}
    first: dict[str, float] = {}
    for name, call in contestants.items():
        seconds = expected.get(name, 0.0)
        if seconds < VERY_SLOW:
            seconds = call()
        if seconds < slow:
            seconds = min([seconds, *(call() for _ in range(warm_up - 1))])
        first[name] = seconds
        least = 3 if seconds <= 5 * first[names[0]] else 1
        allowed[name] = min(rounds, max(least, int(budget / max(seconds, 1e-9))))
    turns = max(allowed.values())
    allowed[names[0]] = turns
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(turns):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if turn < allowed[name]:
                times[name].append(contestants[name]())
    return times


def ratios(times: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Each contestant's seconds over those of the first one, in the same turn.

    >>> ratios({"plain": [1.0, 2.0], "other": [1.5, 4.0]})
    {'plain': [1.0, 1.0], 'other': [1.5, 2.0]}
    """
    base = next(iter(times.values()))
    return {name: [one / other for one, other in zip(seconds, base, strict=False)] for name, seconds in times.items()}
