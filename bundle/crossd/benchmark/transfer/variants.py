"""What the variants of ours do to a network between loading and training; see docs/guide/beyond.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from crossd.conv import calibrate, drop_unseen

ROTATE: dict[str, Any] = {"motion": "rotate", "view": "projection"}
BATCH = 32  # cases; of no account for the result


def drop_unseen_on_all_axes(network: nn.Module, checkpoint: Path | None, images: Tensor) -> None:
    """Take from each kernel what axial, coronal and sagittal images do not see: it is as it was initialised."""
    drop_unseen(network, (0, 1, 2))


def align_to_volumes(network: nn.Module, checkpoint: Path | None, images: Tensor) -> None:
    """Replace the mean motion of 2D training by the mean motion over the volumes to be trained on, without labels.

    Args:
        network: 3D, with `alignment="running"`.
        checkpoint: of no account.
        images: `(cases, channel, depth, height, width)`.
    """
    calibrate(network, images.split(BATCH))
