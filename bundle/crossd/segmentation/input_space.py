"""From what the network says on its own grid to a mask on the grid of the input."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from crossd.data.resampling import parallel_grids, resample_axis
from crossd.inference.restore import STRAY, to_input_space


def mask_in_input_space(logits: Tensor, image: MetaTensor) -> tuple[np.ndarray, np.ndarray]:
    """The most probable class of each voxel of the input.

    Probabilities, not classes, are interpolated (linear, by the two affines), so that borders are smooth where the
    input is finer than the network's grid; where the grids are one and the same, nothing is. One class is held on the
    input's grid at a time.

    Args:
        logits: `(classes, depth, height, width)` on the grid of `image`.
        image: the preprocessed `(channel, depth, height, width)`; its meta holds `spatial_shape` and
            `original_affine` of the file.

    Returns:
        Class indices `(i, j, k)` in the file's index order, uint8 (uint16 beyond 256 classes), and the file's affine.

    >>> image = MetaTensor(torch.zeros(1, 2, 3, 4), affine=torch.eye(4).double())
    >>> image.meta.update(spatial_shape=(2, 3, 4), original_affine=torch.eye(4).double())
    >>> mask, affine = mask_in_input_space(torch.tensor([0.0, 2.0]).reshape(2, 1, 1, 1).expand(2, 2, 3, 4), image)
    >>> mask.shape, int(mask.min())
    ((2, 3, 4), 1)
    """
    shape = tuple(int(size) for size in image.meta["spatial_shape"])
    affine = torch.as_tensor(image.meta["original_affine"], dtype=torch.float64).numpy()
    grids = parallel_grids(image.affine.numpy(), affine, shape, STRAY)
    probabilities = logits.detach().float().cpu().softmax(0)
    best = np.zeros(shape, np.uint8 if len(probabilities) <= 256 else np.uint16)
    highest: np.ndarray | None = None
    for index, values in enumerate(probabilities):
        if grids is None:
            there = to_input_space(values, image)[0]
        else:
            moved = values.permute(grids.axes)
            for axis, size in enumerate(shape):
                moved = resample_axis(moved, axis, _on_voxels(grids.first[axis]), grids.step[axis], size)
            there = moved.numpy()
        if highest is None:
            highest = np.array(there)
            continue
        higher = there > highest
        best[higher] = index
        highest[higher] = there[higher]
    return best, affine


def _on_voxels(first: float) -> float:
    """A start that lies on a voxel but for rounding, on it: then nothing is interpolated.

    >>> _on_voxels(2.9999999), _on_voxels(2.75)
    (3.0, 2.75)
    """
    return float(round(first)) if abs(first - round(first)) < 1e-4 else first
