"""Changes of a pre-trained network that methods of several benchmarks make before training."""

from __future__ import annotations

from typing import Any

from crossd.conv import drop_unseen
from torch import nn

ROTATE: dict[str, Any] = {"motion": "rotate", "view": "projection"}


def drop_unseen_on_all_axes(network: nn.Module, *_: object) -> None:
    """Take from each kernel what axial, coronal and sagittal images do not see: it is as it was initialised."""
    drop_unseen(network, (0, 1, 2))
