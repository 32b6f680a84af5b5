"""What each window of a volume said, and its map over the volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from crossd.errors import CrossDError
from crossd.inference.aggregation import Aggregation


@dataclass(frozen=True)
class WindowMap:
    r"""$m(d, h, w) = \sum_{abc} v_{abc} \, s^1_{da} \, s^2_{hb} \, s^3_{wc}$.

    Windows lie on a grid, so the mean over the windows that cover a voxel is a mean along each axis, one after the
    other. So is linear interpolation. A map on another grid needs other shares, not a map on this grid first.

    Attributes:
        values: `(a, b, c)`, one per window, or per cell of a window.
        shares: per axis `(voxels, a)`, `(voxels, b)`, `(voxels, c)`: how much each value counts at a voxel.
        probability: whether the values are probabilities; otherwise they have no scale of their own.

    >>> two = WindowMap(torch.tensor([[[0.2, 0.8]]]), (torch.ones(3, 1), torch.ones(2, 1), torch.eye(2)))
    >>> two().shape, two()[0, 0]
    (torch.Size([3, 2, 2]), tensor([0.2000, 0.8000]))
    >>> two.on([two.shares[0][:1], two.shares[1][:1], torch.full((1, 2), 0.5)])()
    tensor([[[0.5000]]])
    """

    values: Tensor
    shares: tuple[Tensor, ...]
    probability: bool = True

    def __call__(self) -> Tensor:
        """The map `(depth, height, width)`, 4 bytes a voxel."""
        values = self.values
        for share in self.shares:  # the axis in front is summed, and comes back at the end
            values = torch.tensordot(values, share, dims=([0], [1]))
        return values

    def on(self, shares: Sequence[Tensor]) -> WindowMap:
        """The same map where `shares` say how much each value counts: on another grid, or on some of its planes."""
        return replace(self, shares=tuple(shares))

    @property
    def uniform(self) -> bool:
        """Whether the map says the same everywhere: of one window, or of windows that differ by rounding."""
        return bool(self.values.max() - self.values.min() <= (1e-6 if self.probability else 0))


def coverage(starts: Tensor, window: Sequence[int], shape: Sequence[int], before: Sequence[int]) -> list[Tensor]:
    """Per axis `(voxels, starts)`: for each voxel, the windows that cover it share 1, the others have 0.

    Args:
        starts: `(windows, axes)`, the first voxel of each window in the padded volume.
        window, shape, before: per axis the voxels of a window, of the volume, and of the padding in front of it.
    """
    shares = []
    for axis, (extent, pad, size) in enumerate(zip(window, before, shape, strict=True)):
        first = starts[:, axis].unique() - pad
        voxels = torch.arange(size)[:, None]
        covers = ((voxels >= first) & (voxels < first + extent)).float()
        shares.append(covers / covers.sum(1, keepdim=True))  # every voxel is covered: the windows tile the volume
    return shares


@dataclass(frozen=True)
class WindowEvidence:
    """The class probabilities of every window of one volume and where the windows lie.

    Attributes:
        probabilities: `(windows, classes)`, float32 on the CPU.
        starts: `(windows, spatial axes)`, int64: the first voxel of each window in the *padded* volume; every
            combination of some starts per axis, the last axis running fastest.
        window: voxels of a window along each axis.
        shape: voxels of the volume along each axis, before padding.
        before: voxels padded in front of each axis; zeros unless the volume is smaller than the window.
        aggregation: how the windows become one answer.
        features: `(features,)`, the mean over the windows of what the network makes of them; None: not known.

    >>> evidence = WindowEvidence(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([[0], [2]]), (4,), (6,), (0,))
    >>> evidence.aggregate().round(decimals=4).tolist()
    [0.55, 0.45]
    >>> evidence.map(1)()  # the middle is seen by both windows
    tensor([0.1000, 0.1000, 0.4500, 0.4500, 0.8000, 0.8000])
    """

    probabilities: Tensor
    starts: Tensor
    window: tuple[int, ...]
    shape: tuple[int, ...]
    before: tuple[int, ...]
    aggregation: Aggregation = field(default_factory=Aggregation)
    features: Tensor | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    def aggregate(self) -> Tensor:
        """The probabilities `(classes,)` of the volume, float64."""
        return self.aggregation(self.probabilities)

    def map(self, class_index: int) -> WindowMap:
        """Where the windows saw a class: at each voxel the mean of its probability over the windows that cover it.

        Voxels nearer to a border than a window are covered by few windows, so what lies there is located less sharply.

        Raises:
            CrossDError: when there is no such class.
        """
        classes = self.probabilities.shape[1]
        if not 0 <= class_index < classes:
            raise CrossDError(f"an evidence map needs the index of a class, 0 to {classes - 1}, got {class_index}")
        shares = coverage(self.starts, self.window, self.shape, self.before)
        values = self.probabilities[:, class_index].reshape([s.shape[1] for s in shares])
        return WindowMap(values, tuple(shares), probability=self.aggregation.classifies)
