"""The paired comparison of methods by Dice: a bootstrap over seeds and test cases together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from crossd.errors import CrossDError

from scripts.benchmarks.runs.statistics import SAMPLES, Difference, over_seeds
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
    paired = len(one) == len(other) and len(one) > 0
    if not paired or any(run.cases != one[0].cases for run in (*one, *other)):
        raise CrossDError(
            f"Methods are compared on the same seeds and test cases; got {len(one)} and {len(other)} runs. Take the "
            "seeds that both have."
        )
    random = np.random.default_rng(seed)
    gaps = np.stack([a.dice - b.dice for a, b in zip(one, other, strict=True)], 1)
    cases = len(gaps)
    times = random.multinomial(cases, np.full(cases, 1 / cases), size=samples)
    return over_seeds(times @ gaps / cases, gaps.mean(0).tolist(), random)
