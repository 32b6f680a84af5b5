"""The cases of every training step, moved and mirrored."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from crossd.training.randomness import derive_seed
from monai.utils import CommonKeys
from torch import Tensor, nn
from torch.utils.data import Dataset

from scripts.benchmarks.transfer.tasks import Part


class Draws(Dataset):
    """The training cases of every step of a run, moved and mirrored, fixed by the seed alone.

    Step after step whole shuffled passes over the cases follow one another. Methods with the same seed see the same.

    Args:
        part: training cases.
        draws: how many in all.
        shift: voxels to be moved by at most, along each axis; what comes in has the value `background`.
        flip_axes: spatial axes that are mirrored at random.
        seed: of everything random.

    >>> part = Part(torch.arange(8.0).reshape(2, 1, 2, 2), torch.tensor([0, 1]), ("a", "b"))
    >>> draws = Draws(part, 4, shift=0, flip_axes=(), background=0.0, seed=0)
    >>> sorted(int(draws[i]["label"]) for i in (0, 1)), sorted(int(draws[i]["label"]) for i in (2, 3))
    ([0, 1], [0, 1])
    """

    def __init__(
        self, part: Part, draws: int, shift: int, flip_axes: Sequence[int], background: float, seed: int
    ) -> None:
        dims = part.images.dim() - 2
        self.images = nn.functional.pad(part.images, [shift] * (2 * dims), value=background)
        self.labels = part.labels
        self.size = part.images.shape[2:]
        self.flip_axes = flip_axes
        random = torch.Generator().manual_seed(derive_seed(seed, 0))
        cases = len(part.labels)
        passes = [torch.randperm(cases, generator=random) for _ in range(-(-draws // cases))]
        self.order = torch.cat(passes)[:draws].tolist()
        # slices and flips of tensors: MONAI's transforms take 5 ms a case for it here, as long as the network
        self.starts = torch.randint(2 * shift + 1, (draws, dims), generator=random).tolist()
        self.flips = (torch.rand(draws, len(flip_axes), generator=random) < 0.5).tolist()

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        case = self.order[index]
        window = [slice(start, start + size) for start, size in zip(self.starts[index], self.size, strict=True)]
        mirrored = [1 + axis for axis, yes in zip(self.flip_axes, self.flips[index], strict=True) if yes]
        image = self.images[(case, slice(None), *window)].flip(mirrored)
        return {CommonKeys.IMAGE: image, CommonKeys.LABEL: self.labels[case]}
