"""What each window of a volume said, and the map of it over the volume."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from crossd.errors import CrossDError
from crossd.inference.aggregate import Aggregation
from crossd.inference.window_map import WindowMap, coverage


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

    >>> import torch
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

    def map(self, class_index: int) -> WindowMap:
        """Where the windows saw a class: at each voxel the mean of its probability over the windows that cover it.

        Raises:
            CrossDError: when there is no such class.
        """
        classes = self.probabilities.shape[1]
        if not 0 <= class_index < classes:
            raise CrossDError(f"an evidence map needs the index of a class, 0 to {classes - 1}, got {class_index}")
        shares = coverage(self.starts, self.window, self.shape, self.before)
        return WindowMap(self.probabilities[:, class_index].reshape([s.shape[1] for s in shares]), tuple(shares))


def evidence_map(evidence: WindowEvidence, class_index: int) -> Tensor:
    """At each voxel the mean probability of a class over the windows that cover it.

    Voxels nearer to a border than a window are covered by few windows, so what lies there is located less sharply.
    Memory is that of the map, 4 bytes a voxel, and time does not grow with the number of windows over a voxel.

    Args:
        evidence: what `WindowInferer.windows` returned.
        class_index: the class, 0 to classes - 1.

    Returns:
        The map `(depth, height, width)`, float32, values in [0, 1].

    Raises:
        CrossDError: when there is no such class.
    """
    return evidence.map(class_index)()
