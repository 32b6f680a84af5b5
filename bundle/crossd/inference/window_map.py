"""A map over a volume that windows made, kept as one function per axis instead of one number per voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WindowMap:
    r"""$m(d, h, w) = \sum_{abc} v_{abc} \, s^1_{da} \, s^2_{hb} \, s^3_{wc}$.

    Windows lie on a grid, so the mean over the windows that cover a voxel is a mean along each axis, one after the
    other. So is linear interpolation. A map on another grid needs other shares, not a map on this grid first.

    Attributes:
        values: `(a, b, c)`, one per window, or per cell of a window.
        shares: per axis `(voxels, a)`, `(voxels, b)`, `(voxels, c)`: how much each value counts at a voxel.

    >>> two = WindowMap(torch.tensor([[[0.2, 0.8]]]), (torch.ones(3, 1), torch.ones(2, 1), torch.eye(2)))
    >>> two().shape, two()[0, 0]
    (torch.Size([3, 2, 2]), tensor([0.2000, 0.8000]))
    >>> two.on([two.shares[0][:1], two.shares[1][:1], torch.full((1, 2), 0.5)])()
    tensor([[[0.5000]]])
    """

    values: Tensor
    shares: tuple[Tensor, ...]

    def __call__(self) -> Tensor:
        """The map `(depth, height, width)`, 4 bytes a voxel."""
        values = self.values
        for share in self.shares:  # the axis in front is summed, and comes back at the end
            values = torch.tensordot(values, share, dims=([0], [1]))
        return values

    def on(self, shares: Sequence[Tensor]) -> WindowMap:
        """The same map where `shares` say how much each value counts: on another grid, or on some of its planes."""
        return WindowMap(self.values, tuple(shares))

    @property
    def uniform(self) -> bool:
        """Whether there is only one value, so that the map says the same everywhere."""
        return self.values.numel() == 1


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
