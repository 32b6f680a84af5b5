"""How the windows of a volume become its one answer."""

from __future__ import annotations

from dataclasses import dataclass

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

    Classes that do not exclude each other (`exclusive=False`, one sigmoid each) keep $p_c = s_c$. Values of a
    regression (`classifies=False`) are no probabilities: their mean is the only one of these that means something.

    Args:
        method: one of `METHODS`.
        top_k: how many windows `top_k` averages.
        negative_class: index of the class that means "absent"; only for exclusive classes.
        exclusive: whether exactly one class is true of a volume (softmax), or any number of them (sigmoid).
        classifies: whether windows say probabilities; otherwise they say values.

    Raises:
        CrossDError: for an unknown method, for another one than "mean" of values, `top_k` below 1, a negative class of
            classes that do not exclude each other, and, when called, for a negative class that does not exist.

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
    classifies: bool = True

    def __post_init__(self) -> None:
        one_of("aggregate", self.method, METHODS)
        if not self.classifies and self.method != "mean":
            raise CrossDError(
                f"windows that predict a number are joined by their mean, got aggregate {self.method!r}, which is for "
                "probabilities of classes: leave it out, or pass --aggregate mean"
            )
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
