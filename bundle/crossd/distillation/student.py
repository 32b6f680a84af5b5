"""The 3D network that learns, and the batches it learns from: whole volumes, and what the 2D side gives for them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from ignite.metrics import MeanSquaredError, Metric
from monai.utils import convert_to_tensor
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from crossd.networks import MultiView
from crossd.networks.images_of_volumes import resize
from crossd.probe.linear import Components

MOMENTUM = 0.1  # torch's; with EfficientNet-Lite's 0.01 a run of a few dozen steps would keep the images' statistics


class Student(nn.Module):
    """The 3D side of a `MultiView`, and a linear head that gives principal components of the 2D side's features.

        loss = mean (head(f₃(volume)) − components(f₂(its slices and projections)))²

    The 3D side is a copy: the 2D side stays as it is. The components have mean 0, and variance 1 on average: those that
    tell more of the volumes apart weigh more.

    Source: distillation by features (Romero et al., "FitNets", arXiv 1412.6550) across dimensions; that slices and
    projections are the teacher's inputs is ours, see `crossd.networks.images_of_volumes`.

    Args:
        network: whose 3D side learns.
        components: of the 2D side's features, those of all views side by side.
        scale: what they are divided by.

    Attributes:
        volume: the 3D network, which is kept in the end.

    >>> import numpy as np
    >>> network = MultiView(3, 1, 2, backbone={"depth": 10, "width": 4}, views=["projections"])
    >>> student = Student(network, Components.fit(np.random.default_rng(0).normal(size=(9, 96)), most=5))
    >>> student(torch.rand(2, 1, 32, 32, 32)).shape, student.targets(torch.rand(2, 96)).shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    mean: Tensor
    axes: Tensor

    def __init__(self, network: MultiView, components: Components, scale: float = 1.0) -> None:
        super().__init__()
        self.volume = copy.deepcopy(network.volume)
        for module in self.volume.modules():
            if isinstance(module, _BatchNorm):
                module.momentum = MOMENTUM
        self.head = nn.Linear(self.volume.num_features, len(components.axes))
        self.mean: Tensor
        self.axes: Tensor
        self.register_buffer("mean", torch.from_numpy(components.mean).float())
        self.register_buffer("axes", torch.from_numpy(components.axes / components.spread / scale).float())

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, 1, depth, height, width)` → `(batch, component)`."""
        return self.head(self.volume.pooled_features(x))  # type: ignore[no-any-return]

    def targets(self, features: Tensor) -> Tensor:
        """What the 2D side gives, `(batch, feature)` → `(batch, component)`."""
        return (features - self.mean) @ self.axes.T


class PrepareVolumes:
    """What the engines do with a batch: whole volumes of the student's size, and what it is to say of them.

    Args:
        student: whose components are the target.
        size: longest side of a volume as the student gets it, cubic voxels.
        card_input: `input` of the card, for the spacing of the volumes.
        background: their darkest intensity, with which the smaller ones of a batch are padded.
        teacher: a frozen `MultiView` that looks at each volume as it was changed; None: the features that come with it,
            of the volume before it was changed.

    >>> import numpy as np
    >>> network = MultiView(3, 1, 2, backbone={"depth": 10, "width": 4}, views=["projections"])
    >>> student = Student(network, Components.fit(np.random.default_rng(0).normal(size=(9, 96)), most=5))
    >>> items = [{"image": torch.rand(1, 9, 12, side), "features": torch.rand(96)} for side in (12, 6)]
    >>> inputs, targets = PrepareVolumes(student, 32, {"spacing": None})(items)
    >>> inputs.shape, targets.shape
    (torch.Size([2, 1, 24, 32, 32]), torch.Size([2, 5]))
    """

    def __init__(
        self,
        student: Student,
        size: int,
        card_input: Mapping[str, Any],
        background: float = 0.0,
        teacher: MultiView | None = None,
    ) -> None:
        self.student, self.size, self.background, self.teacher = student, size, background, teacher
        self.spacing: Sequence[float] = card_input["spacing"] or (1, 1, 1)

    def __call__(
        self, items: Sequence[Mapping[str, Any]], device: Any = None, non_blocking: bool = False, **_: Any
    ) -> tuple[Tensor, Tensor]:
        volumes = [
            convert_to_tensor(item["image"], track_meta=False).to(device, non_blocking=non_blocking) for item in items
        ]
        with torch.no_grad():
            if self.teacher is None:
                features = torch.stack([item["features"] for item in items]).to(device)
            else:
                seen = [self.teacher.view_features(volume[None]).values() for volume in volumes]
                features = torch.stack([torch.cat([*views], 1)[0] for views in seen])
            sized = [resize(volume[None], self.size, self.spacing)[0] for volume in volumes]
            largest = [max(volume.shape[axis] for volume in sized) for axis in (1, 2, 3)]
            inputs = torch.stack([_padded(volume, largest, self.background) for volume in sized])
            return inputs, self.student.targets(features)


def _padded(volume: Tensor, size: Sequence[int], background: float) -> Tensor:
    """In the middle of a larger one."""
    before = [(wanted - side) // 2 for wanted, side in zip(size, volume.shape[1:], strict=True)]
    after = [wanted - side - first for wanted, side, first in zip(size, volume.shape[1:], before, strict=True)]
    sides = [pad for pair in zip(before[::-1], after[::-1], strict=True) for pad in pair]
    return F.pad(volume, sides, value=background)


def explained_metrics() -> dict[str, Metric]:
    """ignite metrics of predictions `(batch, component)` against components whose mean is 0.

    Returns:
        `val_explained`: 1 − Σ(error²) / Σ(component²), 1 for a perfect student and 0 for one that always says the mean;
        and `val_loss`: the sum over components of the mean squared error.
    """
    error = MeanSquaredError(output_transform=_pred_and_label)
    spread = MeanSquaredError(output_transform=_nothing_and_label)
    return {"val_explained": 1 - error / spread, "val_loss": error}


def _pred_and_label(output: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    return output["pred"].detach(), output["label"]


def _nothing_and_label(output: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(output["label"]), output["label"]
