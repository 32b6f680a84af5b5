"""What each window of a volume said, its map over the volume, and how the windows become one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from crossd.errors import CrossDError, one_of

METHODS = ("mean", "max", "top_k", "noisy_or")


@dataclass(frozen=True)
class Aggregation:
    r"""How N window probabilities `p[w, c]` become one probability per class.

    First each class is pooled over the windows by itself, in float64:

    - `mean`: $s_c = \frac1N \sum_w p_{wc}$
    - `max`: $s_c = \max_w p_{wc}$
    - `top_k`: the mean of the k largest $p_{wc}$ (of all N when N < k)
    - `noisy_or`: $s_c = 1 - \prod_w (1 - p_{wc})$, the probability that at least one window holds the class, were the
      windows independent

    Then, when the classes exclude each other (`exclusive`), the scores are made to sum to 1:

    - `mean` sums to 1 already, up to rounding: $p_c = s_c$.
    - with `negative_class` n (the class that means "absent", as in healthy/aneurysm) only the other classes are pooled,
      since a finding in one window outweighs its absence in all others:
      $p_n = 1 - \max_{c \ne n} s_c$ and $p_c = s_c \cdot \max_{d \ne n} s_d \,/\, \sum_{d \ne n} s_d$ for the others.
      For two classes that is $p_\text{pos} = s_\text{pos}$, $p_n = 1 - s_\text{pos}$.
    - without it no class is special: $p_c = s_c / \sum_d s_d$.

    Classes that do not exclude each other (`exclusive=False`, one sigmoid each) keep $p_c = s_c$.

    Args:
        method: one of `METHODS`.
        top_k: how many windows `top_k` averages.
        negative_class: index of the class that means "absent"; only for exclusive classes.
        exclusive: whether exactly one class is true of a volume (softmax), or any number of them (sigmoid).

    Raises:
        CrossDError: for an unknown method, `top_k` below 1, a negative class of classes that do not exclude each other,
            and, when called, for a negative class that does not exist.

    >>> windows = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    >>> Aggregation("max", negative_class=0)(windows).round(decimals=4).tolist()
    [0.2, 0.8]
    >>> Aggregation("noisy_or", negative_class=0)(windows).round(decimals=4).tolist()  # 1 - 0.9 * 0.2 * 0.7
    [0.126, 0.874]
    >>> Aggregation("mean")(windows).round(decimals=4).tolist()
    [0.6, 0.4]
    """

    method: str = "mean"
    top_k: int = 3
    negative_class: int | None = None
    exclusive: bool = True

    def __post_init__(self) -> None:
        one_of("aggregate", self.method, METHODS)
        if isinstance(self.top_k, bool) or not isinstance(self.top_k, int) or self.top_k < 1:
            raise CrossDError(f"top_k must be a whole number of windows of at least 1, got {self.top_k!r}")
        if self.negative_class is not None and not self.exclusive:
            raise CrossDError(
                f"a negative class needs classes that exclude each other, got negative_class={self.negative_class} "
                "with sigmoid activation: leave negative_class out, or use activation='softmax'"
            )

    def __call__(self, probabilities: Tensor) -> Tensor:
        """`(windows, classes)` to `(classes,)`, float64 on the CPU."""
        windows = probabilities.detach().to("cpu", torch.float64)
        classes = windows.shape[1]
        scores = self._pool(windows)
        if not self.exclusive or self.method == "mean":
            return scores
        if self.negative_class is None:
            return scores / scores.sum()
        if not 0 <= self.negative_class < classes:
            raise CrossDError(
                f"negative_class must be the index of a class, 0 to {classes - 1}, got {self.negative_class}: correct "
                "it, or leave it out"
            )
        positive = torch.arange(classes) != self.negative_class
        present = scores[positive].max() if classes > 1 else scores.new_zeros(())
        result = torch.full_like(scores, 1 - float(present))
        if present > 0:
            result[positive] = scores[positive] * (present / scores[positive].sum())
        else:
            result[positive] = 0
        return result

    def _pool(self, windows: Tensor) -> Tensor:
        if self.method == "mean":
            return windows.mean(0)
        if self.method == "max":
            return windows.max(0).values
        if self.method == "top_k":
            return windows.topk(min(self.top_k, len(windows)), dim=0).values.mean(0)
        return 1 - (1 - windows).prod(0)


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
        return WindowMap(self.probabilities[:, class_index].reshape([s.shape[1] for s in shares]), tuple(shares))
