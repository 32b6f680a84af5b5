"""Which runs there are, and in which order, so that a stop at any moment leaves complete paired blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from crossd.errors import CrossDError, one_of

PROTOCOLS = ("probe", "full")
PAPER = "paper"
TRIALS, FOLDS = 3, 5  # of the published evaluation


@dataclass(frozen=True, order=True)
class Cell:
    """A column of a table: data set, protocol and fraction of the labels."""

    set: str
    protocol: str
    fraction: float

    def __str__(self) -> str:
        return f"{self.set}, {self.protocol}, {self.fraction:.0%}"


@dataclass(frozen=True, order=True)
class Block:
    """All methods on one cell with one seed: what is paired. `seed` is `5 · trial + fold` under `"paper"`."""

    cell: Cell
    seed: int

    def name(self, method: str) -> str:
        """Of a run, by which runs are ordered.

        >>> Block(Cell("vesselmnist3d", "probe", 0.1), 3).name("raw")
        'vesselmnist3d/probe_10/seed3_raw'
        """
        return f"{self.cell.set}/{self.cell.protocol}_{round(100 * self.cell.fraction)}/seed{self.seed}_{method}"

    def as_json(self) -> dict[str, Any]:
        """What a stored run says of where it belongs."""
        return {**asdict(self.cell), "seed": self.seed}


def rounds(seeds: Mapping[float, int]) -> list[tuple[float, int]]:
    """(fraction, seed) in the order of running.

    The smallest fraction begins with half of its seeds; then the fractions take turns, the rarest first.

    >>> rounds({0.1: 4, 1.0: 2})
    [(0.1, 0), (0.1, 1), (1.0, 0), (0.1, 2), (1.0, 1), (0.1, 3)]
    """
    smallest = min(seeds)
    first = (seeds[smallest] + 1) // 2 if len(seeds) > 1 else seeds[smallest]
    order = [(smallest, seed) for seed in range(first)]
    waiting = {fraction: list(range(count)) for fraction, count in sorted(seeds.items(), reverse=True)}
    waiting[smallest] = list(range(first, seeds[smallest]))
    while any(waiting.values()):
        order += [(fraction, left.pop(0)) for fraction, left in waiting.items() if left]
    return order


def blocks(sets: Sequence[str], protocols: Sequence[str], seeds: Mapping[float, int]) -> list[Block]:
    """All blocks in the order of running: in each round every set, and every protocol of it.

    Args:
        sets: names of data sets.
        protocols: `"probe"` (weak probing: the head and all norms) and `"full"` (everything), or `"paper"` alone.
        seeds: how many, by fraction of labels; of no account under `"paper"`.

    Raises:
        CrossDError: for an unknown protocol, or nothing to run.

    >>> [str(block.cell) for block in blocks(["a", "b"], ["probe"], {0.1: 1, 1.0: 1})]
    ['a, probe, 10%', 'b, probe, 10%', 'a, probe, 100%', 'b, probe, 100%']
    """
    for protocol in protocols:
        one_of("protocol", protocol, (*PROTOCOLS, PAPER))
    if not sets or not protocols or not seeds or min(seeds.values()) < 1:
        raise CrossDError(
            f"There must be sets, protocols and seeds, got {list(sets)}, {list(protocols)}, {dict(seeds)}. Name them."
        )
    if PAPER in protocols:
        return [Block(Cell(name, PAPER, 1.0), seed) for seed in range(TRIALS * FOLDS) for name in sets]
    return [
        Block(Cell(name, protocol, fraction), seed)
        for fraction, seed in rounds(seeds)
        for name in sets
        for protocol in protocols
    ]
