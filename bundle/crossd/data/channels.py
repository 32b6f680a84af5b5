"""Several volumes of one patient as the channels of one image: all on the grid of the first."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import ResampleToMatch

from crossd.errors import CrossDError


def stack_channels(images: Sequence[MetaTensor], names: Sequence[str]) -> torch.Tensor:
    """Resample later images by their affines onto the first (linear; 0 outside of them) and stack them.

    Args:
        images: `(1, i, j, k)` each, with an RAS affine and `meta["has_affine"]`.
        names: what to call them in messages.

    Returns:
        `(channel, i, j, k)` on the grid of the first image.

    Raises:
        CrossDError: images that share no region in space, or of other shapes without affines to relate them.
    """
    first = images[0]
    channels: list[torch.Tensor] = [first]
    for image, name in zip(images[1:], names[1:], strict=True):
        related = first.meta["has_affine"] and image.meta["has_affine"]
        if not related and image.shape != first.shape:
            raise CrossDError(
                "Channels without an orientation in their files must have one shape: "
                f"'{names[0]}' has {tuple(first.shape[1:])} and '{name}' {tuple(image.shape[1:])}. "
                "Write the files with affines, or resample them onto one grid."
            )
        if not related or (image.shape == first.shape and torch.allclose(image.affine, first.affine, atol=1e-4)):
            channels.append(image)
            continue
        if not _overlap(first, image):
            raise CrossDError(
                f"Channels of one case must overlap in space: '{names[0]}' spans {_box(first)} and '{name}' "
                f"{_box(image)} (mm, right-anterior-superior). Check that they are of one patient and session."
            )
        resample = ResampleToMatch(mode="bilinear", padding_mode="zeros", dtype=np.float64)
        channels.append(resample(image, img_dst=first))
    return torch.cat([torch.as_tensor(channel).float() for channel in channels])


def _corners(image: MetaTensor) -> np.ndarray:
    """The eight corners of the voxels' extent in voxel coordinates, `(8, 4)`."""
    ends = [(-0.5, size - 0.5) for size in image.shape[1:]]
    return np.array([(*corner, 1.0) for corner in itertools.product(*ends)])


def _overlap(one: MetaTensor, other: MetaTensor) -> bool:
    """Whether two boxes meet, seen along the axes of each of them."""
    for here, there in ((one, other), (other, one)):
        to_here = np.linalg.inv(here.affine.numpy()) @ there.affine.numpy()
        corners = (_corners(there) @ to_here.T)[:, :3]
        sizes = np.array(here.shape[1:])
        if np.any(corners.max(axis=0) <= -0.5) or np.any(corners.min(axis=0) >= sizes - 0.5):
            return False
    return True


def _box(image: MetaTensor) -> str:
    corners = (_corners(image) @ image.affine.numpy().T)[:, :3]
    return " × ".join(
        f"{low:.0f}…{high:.0f}" for low, high in zip(corners.min(axis=0), corners.max(axis=0), strict=True)
    )
