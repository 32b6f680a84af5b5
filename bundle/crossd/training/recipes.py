"""The parts of the 2D recipe that torch and MONAI have no single part for: learning rate and mixup."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.transforms import MixUp
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from crossd.errors import CrossDError, one_of
from crossd.pseudo3d import pseudo_3d

SCHEDULES = ("step", "cosine")


def epoch_schedule(
    optimizer: Optimizer, epochs: int, schedule: str = "step", step_epochs: int = 30, warmup_epochs: int = 0
) -> LambdaLR:
    """The learning rate of each epoch, as a factor of the optimiser's.

    Args:
        optimizer: with the largest learning rate.
        epochs: of the run.
        schedule: `"step"`: a tenth of it after every `step_epochs`; `"cosine"`: half a cosine, from 1 to 0.
        step_epochs: see there; the warm-up counts.
        warmup_epochs: over which it rises evenly to that.

    Raises:
        CrossDError: for an unknown schedule, or a warm-up that is not shorter than the run.

    >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    >>> schedule = epoch_schedule(optimizer, 4, step_epochs=2)
    >>> [round(schedule.lr_lambdas[0](epoch), 4) for epoch in range(4)]
    [1.0, 1.0, 0.1, 0.1]
    """
    one_of("schedule", schedule, SCHEDULES)
    if not 0 <= warmup_epochs < max(epochs, 1) or step_epochs < 1:
        raise CrossDError(
            f"A warm-up is shorter than the run and a step at least one epoch, got {warmup_epochs} of {epochs} epochs "
            f"and steps of {step_epochs}. Pass --warmup_epochs 0."
        )

    def factor(epoch: int) -> float:
        if epoch < warmup_epochs:
            return (epoch + 1) / (warmup_epochs + 1)
        if schedule == "step":
            return float(0.1 ** (epoch // step_epochs))
        return 0.5 * (1 + math.cos(math.pi * (epoch - warmup_epochs) / (epochs - warmup_epochs)))

    return LambdaLR(optimizer, factor)


class PrepareImages:
    """What MONAI's engines do with a batch: to the device, normalised, and mixed up where that is wanted.

    Normalising whole batches takes a fraction of the time that it takes image by image.

    Source of mixup: Zhang et al., "mixup: beyond empirical risk minimization" (ICLR 2018); MONAI's `MixUp`. What is
    drawn follows from torch's generator, so from the epoch's seed.

    Args:
        num_classes: of the labels.
        mean, std: of values in [0, 1], as on the model's card; numbers, or one per channel.
        mixup: alpha of the Beta distribution; 0: images are not mixed.
        rank: of the process, so that each mixes in its own way.
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
        rank: int = 0,
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
        mix.set_random_state(seed=(seed + self.rank) % 2**31)
        one_hot = labels if labels.dim() == 2 else F.one_hot(labels, self.num_classes)  # multilabel is 0 and 1 already
        mixed, weights = mix(
            images, one_hot.to(images.dtype)[:, :, None, None]
        )  # MONAI's mixes arrays of four axes and more
        return torch.as_tensor(mixed), torch.as_tensor(weights)[:, :, 0, 0]
