"""The paired comparison of methods by Dice: a bootstrap over seeds and test cases together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scripts.benchmarks.runs.statistics import SAMPLES, Difference, check_pairs, over_seeds
from scripts.benchmarks.segmentation.store import Tested


def paired_dice(one: Sequence[Tested], other: Sequence[Tested], samples: int = SAMPLES, seed: int = 0) -> Difference:
    """How much larger the mean Dice of one method is than that of another, on the same seeds and test cases.

    Each draw takes seeds with replacement and, independently, test cases with replacement, the same for both methods.
    p and sources: see `scripts.benchmarks.transfer.statistics.paired_difference`.

    Args:
        one, other: a run for each seed, in the same order.
        samples: bootstrap draws.
        seed: of the draws.

    Raises:
        CrossDError: when the runs are not pairs on the same cases.
    """
    check_pairs(one, other, lambda a, b: a.cases == b.cases == one[0].cases)
    random = np.random.default_rng(seed)
    gaps = np.stack([a.dice - b.dice for a, b in zip(one, other, strict=True)], 1)
    cases = len(gaps)
    times = random.multinomial(cases, np.full(cases, 1 / cases), size=samples)
    return over_seeds(times @ gaps / cases, gaps.mean(0).tolist(), random)
