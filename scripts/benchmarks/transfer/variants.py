"""What the variants of ours do to a network between loading and training; see docs/guide/beyond.md."""

from __future__ import annotations

from pathlib import Path

import torch
from crossd.conv import CrossDConv, calibrate
from torch import Tensor, nn

BATCH = 32  # cases; of no account for the result


@torch.no_grad()
def drop_unseen_at_mean_motion(network: nn.Module, checkpoint: Path | None, images: Tensor) -> None:
    """Take from each kernel what axial images do not see of it at its mean motion, which is then part of the kernel.

    What remains is the mean inflation of the 2D kernel that the images saw on average.

    Args:
        network: 3D, with `alignment="running"` and `view="projection"`.
        checkpoint, images: of no account.
    """
    for layer in network.modules():
        if isinstance(layer, CrossDConv) and layer.weight.shape[2] > 1 and layer.running_motion is not None:
            moved = layer.kernel()
            layer.weight.copy_(moved.mean(2, keepdim=True).expand_as(moved))
            layer.running_motion.zero_()


def spread_over_axes(network: nn.Module, checkpoint: Path | None, images: Tensor) -> None:
    """As `drop_unseen_at_mean_motion`, and the mean of what that gives along each of the three axes."""
    drop_unseen_at_mean_motion(network, checkpoint, images)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, CrossDConv) and layer.weight.shape[2] > 1:
                axial = layer.weight.clone()
                coronal, sagittal = axial.movedim(2, 3), axial.movedim(2, 4)
                layer.weight.copy_((axial + coronal + sagittal) / 3)


def align_to_volumes(network: nn.Module, checkpoint: Path | None, images: Tensor) -> None:
    """Replace the mean motion of 2D training by the mean motion over the volumes to be trained on, without labels.

    Args:
        network: 3D, with `alignment="running"`.
        checkpoint: of no account.
        images: `(cases, channel, depth, height, width)`.
    """
    calibrate(network, images.split(BATCH))
