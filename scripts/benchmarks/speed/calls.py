"""One call of a contestant, as it is timed and as its memory is measured: a fresh input, then the pass."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scripts.benchmarks.speed.contestants import build
from scripts.benchmarks.speed.rows import Row


@dataclass
class Call:
    """A contestant ready to be called.

    Args:
        module: put into the row's mode.
        row: the shape of the inputs and the pass.
    """

    module: nn.Module
    row: Row

    def __post_init__(self) -> None:
        self.module.train(self.row.mode == "training")
        self._gradient: Tensor | None = None

    def __call__(self) -> float:
        """Make an input no contestant has seen, run the pass, return the seconds of the pass alone."""
        x = torch.randn(self.row.shape)
        if self.row.mode == "forward":
            with torch.no_grad():
                start = time.perf_counter()
                y = self.module(x)
                seconds = time.perf_counter() - start
            del y  # giving back its memory is not the contestant's time
            return seconds
        return self._train_network(x) if self.row.kind in ("network", "width") else self._train_layer(x)

    def _train_layer(self, x: Tensor) -> float:
        x.requires_grad_()  # inside a network the input has a gradient too
        self.module.zero_grad(set_to_none=True)
        start = time.perf_counter()
        y = self.module(x)
        forward = time.perf_counter() - start
        if self._gradient is None:
            self._gradient = torch.randn_like(y)
        start = time.perf_counter()
        y.backward(self._gradient)
        return forward + time.perf_counter() - start

    def _train_network(self, x: Tensor) -> float:
        classes = self.row.arguments[-1]
        target = torch.randint(classes, (len(x),))
        optimiser = torch.optim.SGD(self.module.parameters(), lr=1e-4)  # keeps no state
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(self.module(x), target).backward()
        optimiser.step()
        return time.perf_counter() - start


def prepare(row: Row, name: str) -> Call:
    """The contestant `name` of a row, built and ready.

    >>> prepare(Row("stages", "layer", (2, 4, 3), ("Conv2d",), (1, 2, 5, 5), "training"), "Conv2d")() > 0
    True
    """
    return Call(build(row.kind, name, row.arguments), row)
