"""What goes into a batch, and what becomes of a batch of images before the network sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import EnsureTyped, Lambdad, MixUp, SelectItemsd
from torch import Tensor

from crossd import processes
from crossd.cards.tasks import task_of
from crossd.errors import CrossDError
from crossd.pseudo3d import pseudo_3d

KEYS = ("image", "label", "case", "patient", "source")


def batch_items(task: str) -> list[Any]:
    """The label as a tensor, and of a case what a batch is made of; what is not there is left out.

    Args:
        task: `"multilabel"`, whose labels are 0 and 1 for each class, `"multiclass"` or `"ordinal"`, an index, or
            `"regression"`, a
            number, which becomes `(1,)`.

    Returns:
        MONAI transforms of a case.

    >>> from monai.transforms import Compose
    >>> Compose(batch_items("multiclass"))({"label": 1, "case": "a", "split": "train"})
    {'label': tensor(1), 'case': 'a'}
    """
    kind = torch.long if task_of(task).exclusive else torch.float32
    column = [] if task_of(task).classifies else [Lambdad("label", np.atleast_1d)]
    return [*column, EnsureTyped("label", dtype=kind, track_meta=False), SelectItemsd(KEYS, allow_missing_keys=True)]


class PrepareImages:
    """What MONAI's engines do with a batch: to the device, normalised, and mixed up where that is wanted.

    Normalising whole batches takes a fraction of the time that it takes image by image.

    Source of mixup: Zhang et al., "mixup: beyond empirical risk minimization" (ICLR 2018); MONAI's `MixUp`. What is
    drawn follows from torch's generator, so from the epoch's seed.

    Args:
        mean, std: of values in [0, 1], as on the model's card; numbers, or one per channel.
        mixup: alpha of the Beta distribution; 0: images are not mixed.
        rank: of the process, so that each mixes in its own way; None: that of this one.
        pseudo_3d: arguments of `crossd.pseudo_3d`, by which images become volumes before they are normalised, so that
            what its padding adds is black; None: they stay images.

    >>> batch = {"image": 255 * torch.rand(4, 1, 8, 8), "label": torch.tensor([0, 1, 2, 0])}
    >>> images, labels = PrepareImages(3, mean=0.3162, std=0.3213, mixup=0.4)(batch)
    >>> images.shape, labels.shape, bool(labels.sum(1).allclose(torch.ones(4)))
    (torch.Size([4, 1, 8, 8]), torch.Size([4, 3]), True)
    """

    def __init__(
        self,
        num_classes: int,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        mixup: float = 0.0,
        rank: int | None = None,
        pseudo_3d: Mapping[str, int] | None = None,
    ) -> None:
        if mixup < 0:
            raise CrossDError(f"mixup is the alpha of a Beta distribution, above 0, or 0 for none; got {mixup}.")
        self.num_classes = num_classes
        self.mean = 255 * torch.tensor(mean, dtype=torch.float32)
        self.std = 255 * torch.tensor(std, dtype=torch.float32)
        self.pseudo_3d = pseudo_3d
        self.mixup = mixup
        self.rank = rank

    def __call__(
        self, batch: dict[str, Tensor], device: torch.device | str | None = None, non_blocking: bool = False, **_: Any
    ) -> tuple[Tensor, Tensor]:
        images = batch["image"].to(device=device, non_blocking=non_blocking)
        if self.pseudo_3d is not None:
            images = pseudo_3d(images, **self.pseudo_3d)
        shape = [1, -1] + [1] * (images.dim() - 2)
        images = (images - self.mean.to(images.device).reshape(shape)) / self.std.to(images.device).reshape(shape)
        labels = batch["label"].to(device=device, non_blocking=non_blocking)
        if not self.mixup:
            return images, labels
        mix = MixUp(len(images), self.mixup)
        seed = int(torch.randint(2**31, (1,)))
        mix.set_random_state(seed=(seed + (processes.rank() if self.rank is None else self.rank)) % 2**31)
        one_hot = labels if labels.dim() == 2 else F.one_hot(labels, self.num_classes)  # multilabel is 0 and 1 already
        mixed, weights = mix(
            images, one_hot.to(images.dtype)[:, :, None, None]
        )  # MONAI's mixes arrays of four axes and more
        return torch.as_tensor(mixed), torch.as_tensor(weights)[:, :, 0, 0]
