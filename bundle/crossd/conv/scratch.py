"""Memory for what does not outlive a hand-written pass, kept for the next one: writing to fresh pages costs more than
the arithmetic in them (measured in `docs/performance.md`)."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

KEPT_BYTES = 2**25  # of one buffer at most; larger ones are fresh
_kept = threading.local()


def scratch(name: str, shape: Sequence[int], like: Tensor) -> Tensor:
    """An uninitialised tensor on the CPU, whose memory the next call with this name in this thread uses again.

    Args:
        name: of what it holds; what is in use at once needs different names.
        shape: of the tensor.
        like: gives the dtype.

    >>> first = scratch("example", (2, 3), torch.zeros(1))
    >>> second = scratch("example", (3,), torch.zeros(1))
    >>> first.shape, first.data_ptr() == second.data_ptr()
    (torch.Size([2, 3]), True)
    """
    count = math.prod(shape)
    if count * like.element_size() > KEPT_BYTES:
        return like.new_empty(shape)
    buffers: dict[tuple[str, torch.dtype], Tensor] = _kept.__dict__.setdefault("buffers", {})
    held = buffers.get((name, like.dtype))
    if held is None or held.numel() < count:
        with torch.inference_mode(False):  # what is made in inference mode could not be written to outside of it
            held = buffers[name, like.dtype] = torch.empty(count, dtype=like.dtype)
    return held[:count].view(*shape)
