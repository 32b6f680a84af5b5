"""Several volumes of one patient as the channels of one image: all on the grid of the first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import ResampleToMatch

from crossd.data.volume import Volume, corners
from crossd.errors import CrossDError


def stack_channels(volumes: Sequence[Volume], names: Sequence[str]) -> torch.Tensor:
    """Resample later volumes by their affines onto the first (linear; 0 outside of them) and stack them.

    Returns:
        `(channel, i, j, k)` on the grid of the first volume.

    Raises:
        CrossDError: volumes that share no region in space, or of other shapes without affines to relate them.
    """
    first = volumes[0]
    channels = [torch.from_numpy(first.voxels)[None]]
    for volume, name in zip(volumes[1:], names[1:], strict=True):
        shapes = first.voxels.shape, volume.voxels.shape
        related = first.has_affine and volume.has_affine
        if not related and shapes[0] != shapes[1]:
            raise CrossDError(
                "Channels without an orientation in their files must have one shape: "
                f"'{names[0]}' has {shapes[0]} and '{name}' {shapes[1]}. "
                "Write the files with affines, or resample them onto one grid."
            )
        channel = torch.from_numpy(volume.voxels)[None]
        same = shapes[0] == shapes[1] and np.allclose(first.voxel_to_world, volume.voxel_to_world, atol=1e-4)
        if related and not same:
            if not _overlap(first, volume):
                raise CrossDError(
                    f"Channels of one case must overlap in space: '{names[0]}' spans {_box(first)} and '{name}' "
                    f"{_box(volume)} (mm, right-anterior-superior). Check that they are of one patient and session."
                )
            moving, fixed = (
                MetaTensor(torch.from_numpy(item.voxels)[None], affine=torch.from_numpy(item.voxel_to_world))
                for item in (volume, first)
            )
            resample = ResampleToMatch(mode="bilinear", padding_mode="zeros", dtype=np.float64)
            channel = torch.as_tensor(resample(moving, img_dst=fixed))
        channels.append(channel)
    return torch.cat([channel.float() for channel in channels])


def _overlap(one: Volume, other: Volume) -> bool:
    """Whether two boxes meet, seen along the axes of each of them."""
    for here, there in ((one, other), (other, one)):
        to_here = np.linalg.inv(here.voxel_to_world) @ there.voxel_to_world
        found = corners(to_here, there.voxels.shape, 0.5)
        if (found.max(axis=0) <= -0.5).any() or (found.min(axis=0) >= np.array(here.voxels.shape) - 0.5).any():
            return False
    return True


def _box(volume: Volume) -> str:
    found = corners(volume.voxel_to_world, volume.voxels.shape, 0.5)
    return " × ".join(f"{low:.0f}…{high:.0f}" for low, high in zip(found.min(axis=0), found.max(axis=0), strict=True))
