"""Images and volumes in one run: which of them make a batch, and their views, all decided by the seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from monai.transforms import Randomizable
from torch.utils.data import Dataset, Sampler

from crossd import processes
from crossd.errors import CrossDError, one_of
from crossd.training.randomness import derive_seed

KINDS = ("images", "volumes")
MIXES = ("alternating", "mixed")


class Draw(NamedTuple):
    """One case of a batch.

    Attributes:
        kind: `"images"` or `"volumes"`.
        item: index of the case.
        number: how many cases of its kind have been drawn before, in all processes; its views follow from it.
    """

    kind: str
    item: int
    number: int


class JointBatches(Sampler[list[Draw]]):
    """The batches of an epoch, for `DataLoader(batch_sampler=…)`.

    The cases of each kind follow one another in shuffled passes, without an end: a smaller set begins again, in another
    order, while a larger one goes on. Which case comes at which step follows from seed and step, so a resumed run draws
    what the whole run would have.

    Args:
        counts: cases of each kind, by name; a kind that is left out, or has None, is not used.
        batch_size: cases in a step of each process.
        mix: `"alternating"`: a batch of images, then one of volumes; `"mixed"`: both in one, half of them images
            (rounded down). The same where there is one kind.
        steps: of an epoch; None: as many as the larger set needs to be seen once.
        rank, world_size: of this process, and how many there are (default: those of the run); together they see
            `world_size` times as many cases.

    Raises:
        CrossDError: for an empty kind, no kind, or a batch that is too small.

    >>> batches = JointBatches({"images": 6, "volumes": 2}, batch_size=2)
    >>> len(batches), [batch[0].kind for batch in batches]
    (6, ['images', 'volumes', 'images', 'volumes', 'images', 'volumes'])
    >>> [len({draw.item for draw in batch}) for batch in batches][1::2]  # both volumes, three times
    [2, 2, 2]
    """

    def __init__(
        self,
        counts: Mapping[str, int | None],
        batch_size: int,
        mix: str = "alternating",
        steps: int | None = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        for kind in counts:
            one_of("kind", kind, KINDS)
        self.counts = {kind: int(count) for kind in KINDS if (count := counts.get(kind)) is not None}
        empty = [kind for kind, count in self.counts.items() if count < 1]
        if empty or not self.counts:
            raise CrossDError(
                f"Pre-training needs cases, got no {' and no '.join(empty or KINDS)}. Give some, or leave that side "
                "out: --images none for volumes only, --volumes none for images only."
            )
        one_of("mix", mix, MIXES)
        both = len(self.counts) == 2
        rank = processes.rank() if rank is None else rank
        world_size = world_size or processes.process_count()
        if batch_size < 2:  # projections are normalised over a batch
            raise CrossDError(f"A batch has 2 cases or more, got batch_size {batch_size!r}. Pass --batch_size 8.")
        if steps is not None and steps < 1:
            raise CrossDError(f"steps_per_epoch must be a whole number, 1 or more, or null, got {steps!r}.")
        self.alternating = both and mix == "alternating"
        halves = {"images": batch_size // 2, "volumes": batch_size - batch_size // 2}
        self.share = halves if both and mix == "mixed" else dict.fromkeys(self.counts, batch_size)
        needed = max(-(-count // (self.share[kind] * world_size)) for kind, count in self.counts.items())
        self.steps = steps or needed * (2 if self.alternating else 1)
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.epoch = 1

    def __len__(self) -> int:
        return self.steps

    def set_epoch(self, epoch: int) -> None:
        """What `SeedEpochs` calls at the start of every epoch; counted from 1."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[Draw]]:
        first = (self.epoch - 1) * self.steps
        return (self.batch(step) for step in range(first, first + self.steps))

    def batch(self, step: int) -> list[Draw]:
        """The cases of a step of the run, counted from 0, that this process sees."""
        kinds = list(self.counts)
        if self.alternating:
            kinds, step = [kinds[step % 2]], step // 2
        draws = []
        for kind in kinds:
            size = self.share[kind]
            first = step * size * self.world_size + self.rank
            for number in range(first, first + size * self.world_size, self.world_size):
                passed, place = divmod(number, self.counts[kind])
                draws.append(Draw(kind, int(_order(self.seed, kind, passed, self.counts[kind])[place]), number))
        return draws


@lru_cache(maxsize=8)
def _order(seed: int, kind: str, passed: int, count: int) -> np.ndarray:
    """A pass over all cases of a kind."""
    return np.random.default_rng(derive_seed(seed, KINDS.index(kind), passed)).permutation(count)


class JointDataset(Dataset):
    """The views of a `Draw`.

    Args:
        sides: by kind, its `cases`, a data set whose items hold `"image"` and `"case"` and are always the same for an
            index, and its `views`, which makes views of them.
        seed: of all that is random in them. They depend on seed, kind and `Draw.number` only: a case that comes again
            in an epoch has other views, and the number of workers is of no account.

    Items are the views, `"case"`, and `"kind"`, an index of `KINDS`.
    """

    def __init__(self, sides: Mapping[str, Any], seed: int = 0) -> None:
        self.sides = dict(sides)
        self.seed = seed

    def __len__(self) -> int:
        return sum(len(side.cases) for side in self.sides.values())

    def __getitem__(self, draw: Sequence[Any]) -> dict[str, Any]:
        kind, index, number = draw
        item = self.sides[kind].cases[index]
        views: Randomizable = self.sides[kind].views
        # 2 and 3, so that the changes of a case do not come from the stream that ordered the cases
        views.set_random_state(seed=derive_seed(self.seed, 2 + KINDS.index(kind), number))
        made = views({"image": item["image"]})  # type: ignore[operator]
        return {**made, "case": item["case"], "kind": KINDS.index(kind)}
