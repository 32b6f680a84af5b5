"""What each window of a volume said, and the map of it over the volume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from crossd.errors import CrossDError
from crossd.inference.aggregate import Aggregation


@dataclass(frozen=True)
class WindowEvidence:
    """The class probabilities of every window of one volume and where the windows lie.

    Attributes:
        probabilities: `(windows, classes)`, float32 on the CPU.
        starts: `(windows, spatial axes)`, int64: the first voxel of each window in the *padded* volume.
        window: voxels of a window along each axis.
        shape: voxels of the volume along each axis, before padding.
        before: voxels padded in front of each axis; zeros unless the volume is smaller than the window.
        aggregation: how the windows become one answer.

    >>> evidence = WindowEvidence(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([[0], [2]]), (4,), (6,), (0,))
    >>> evidence.aggregate().round(decimals=4).tolist()
    [0.55, 0.45]
    >>> evidence_map(evidence, 1)  # the middle is seen by both windows
    tensor([0.1000, 0.1000, 0.4500, 0.4500, 0.8000, 0.8000])
    """

    probabilities: Tensor
    starts: Tensor
    window: tuple[int, ...]
    shape: tuple[int, ...]
    before: tuple[int, ...]
    aggregation: Aggregation = field(default_factory=Aggregation)

    def __len__(self) -> int:
        return len(self.probabilities)

    def aggregate(self) -> Tensor:
        """The probabilities `(classes,)` of the volume, float64."""
        return self.aggregation(self.probabilities)

    def boxes(self) -> Iterator[tuple[slice, ...]]:
        """The part of the (unpadded) volume that each window covers."""
        for start in self.starts.tolist():
            box = []
            for first, extent, before, size in zip(start, self.window, self.before, self.shape, strict=True):
                box.append(slice(max(first - before, 0), min(first - before + extent, size)))
            yield tuple(box)


def evidence_map(evidence: WindowEvidence, class_index: int) -> Tensor:
    """At each voxel the mean probability of a class over the windows that cover it.

    Voxels nearer to a border than a window are covered by few windows, so what lies there is located less sharply.
    Memory is that of two volumes of 4 bytes a voxel, however many windows there are.

    Args:
        evidence: what `WindowInferer.windows` returned.
        class_index: the class, 0 to classes - 1.

    Returns:
        The map `(depth, height, width)`, float32, values in [0, 1].

    Raises:
        CrossDError: when there is no such class.
    """
    classes = evidence.probabilities.shape[1]
    if not 0 <= class_index < classes:
        raise CrossDError(f"an evidence map needs the index of a class, 0 to {classes - 1}, got {class_index}")
    total = torch.zeros(evidence.shape)
    covered = torch.zeros(evidence.shape, dtype=torch.int32)
    for box, probability in zip(evidence.boxes(), evidence.probabilities[:, class_index].tolist(), strict=True):
        total[box] += probability
        covered[box] += 1
    return total.div_(covered)  # every voxel is covered: the windows tile the volume
