"""The running statistics of an encoder's batch norms, as those who take the encoder over need them.

While it is pre-trained, an encoder sees global views, sub-crops whose coarsest maps have one position, images and
volumes in turn. The running mean and variance of all that fit none of them: an encoder that is frozen, or asked before
it is trained further, would answer with activations that it never had. (Ours; the published code leaves them.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from crossd.ssl.encoders import Encoder
from crossd.ssl.joint import KINDS

BATCHES = 8


def state_with_statistics(encoder: Encoder, batches: Sequence[Tensor]) -> dict[str, Tensor]:
    """The encoder's state dict with running statistics of these batches, each counting the same.

    The encoder itself stays as it is. With several processes, all call this with as many batches.

    Args:
        encoder: on the device of the batches.
        batches: `(batch, channel, depth, height, width)`, as fine-tuning will show them; without any, the statistics
            are those of the run.

    >>> from crossd.ssl.encoders import build_encoder
    >>> encoder = build_encoder("crossd", 1, {"depth": 10, "width": 2, "no_max_pool": True})
    >>> state = state_with_statistics(encoder, [torch.rand(2, 1, 8, 8, 8)])
    >>> int(state["bn1.num_batches_tracked"]), int(encoder.net.state_dict()["bn1.num_batches_tracked"])
    (1, 0)
    """
    norms = [module for module in encoder.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    before = {name: value.clone() for name, value in encoder.net.state_dict().items()}
    if not norms or not batches:
        return before
    momenta, mode = [norm.momentum for norm in norms], encoder.training
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
        encoder.train()
        with torch.no_grad():
            for batch in batches:
                encoder(batch)
        return {name: value.clone() for name, value in encoder.net.state_dict().items()}
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        encoder.net.load_state_dict(before)
        encoder.train(mode)


class KeptTargets:
    """The targets of an epoch's last batches, unchanged views, of each kind.

    >>> kept = KeptTargets()
    >>> kept.add(torch.zeros(3, 1, 4, 4, 4), torch.tensor([1, 0, 1]))
    >>> kept.add(torch.zeros(3, 1, 4, 4, 4), torch.tensor([0, 0, 1]))
    >>> [batch.shape[0] for batch in kept.batches()]  # volumes, where there are any
    [3]
    """

    def __init__(self) -> None:
        self.of_kind: dict[int, deque[Tensor]] = {number: deque(maxlen=BATCHES) for number in range(len(KINDS))}

    def clear(self, *_: Any) -> None:
        """Forget those of the last epoch."""
        for kept in self.of_kind.values():
            kept.clear()

    def add(self, targets: Tensor, kinds: Tensor) -> None:
        """Take those of a batch, `(batch, …)`, with an index of `KINDS` for each case."""
        for number, kept in self.of_kind.items():
            cases = (kinds == number).nonzero().flatten().to(targets.device)
            if len(cases):
                kept.append(targets[cases])

    def batches(self) -> list[Tensor]:
        """Those of volumes, or of images where the epoch had no volumes, two or more in each; a single one: none."""
        kept = list(self.of_kind[1] or self.of_kind[0])
        cases = sum(map(len, kept))
        return list(torch.cat(kept).tensor_split(max(1, cases // max(2, len(kept[0]))))) if cases > 1 else []
