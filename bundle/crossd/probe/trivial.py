"""What a volume shows without any network: how bright, how large, of which shape. A probe has to be better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

LARGEST = 64  # voxels a side at most, so that shape figures take no time
POOLED = 6  # voxels a side
BINS = 16
KINDS = ("histogram", "shape", "voxels")


def trivial_features(image: MetaTensor, card_input: Mapping[str, Any]) -> dict[str, Tensor]:
    """The figures of a volume, each kind one after the other over its channels.

    Args:
        image: preprocessed, `(channel, depth, height, width)`.
        card_input: `input` of the card, whose mean and std give the scale of [0, 1] back.

    Returns:
        - "histogram": mean, standard deviation and the square roots of the shares of voxels in 16 equal bins
        - "shape": of the foreground above Otsu's threshold, see `shape_figures`
        - "voxels": means over 6 × 6 × 6 equal parts

    >>> image = MetaTensor(torch.eye(4).expand(1, 4, 4, 4), affine=torch.eye(4))
    >>> {name: len(values) for name, values in trivial_features(image, {"mean": 0.0, "std": 1.0}).items()}
    {'histogram': 18, 'shape': 17, 'voxels': 216}
    """
    mean, std = (
        torch.as_tensor(card_input[name], dtype=torch.float32).reshape(-1, 1, 1, 1) for name in ("mean", "std")
    )
    volume = (image.as_tensor().float().cpu() * std + mean).clamp(0, 1)
    spacing = image.affine[:3, :3].double().norm(dim=0).cpu().numpy()
    size = tuple(min(side, LARGEST) for side in volume.shape[1:])
    small = adaptive_avg_pool3d(volume, size)  # type: ignore[arg-type]
    steps = spacing * np.array(volume.shape[1:]) / size
    found = {
        "histogram": [_histogram(channel) for channel in volume],
        "shape": [torch.from_numpy(shape_figures(channel.numpy(), steps)) for channel in small],
        "voxels": [adaptive_avg_pool3d(volume, POOLED).flatten()],
    }
    return {name: torch.cat(parts).float() for name, parts in found.items()}


def _histogram(channel: Tensor) -> Tensor:
    shares = torch.histc(channel, BINS, 0, 1) / channel.numel()
    return torch.cat([torch.stack([channel.mean(), channel.std(correction=0)]), shares.sqrt()])


def shape_figures(volume: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """17 figures of the foreground, above Otsu's threshold, of a volume `(depth, height, width)` in [0, 1].

    Logarithms of its volume and surface (mm³, mm²), minus surface / volume^⅔, its share of the box around it, the
    logarithms of that box's sides and of the standard deviations along its principal axes (mm), where its centre lies
    (shares of the sides, from the middle), its share of the whole, its mean intensity and that of the rest, and how
    many pieces it has and which share of it is the largest.

    >>> cube = np.zeros((8, 8, 8))
    >>> cube[2:6, 2:6, 2:6] = 1
    >>> np.exp(shape_figures(cube, np.ones(3))[:2]).round().tolist()
    [64.0, 96.0]
    """
    from scipy import ndimage

    inside = volume > otsu(volume)
    if not inside.any() or inside.all():
        inside = np.ones_like(volume, dtype=bool)
    at = np.argwhere(inside).astype(float)
    voxel = float(np.prod(spacing))
    size = len(at) * voxel
    surface = 0.0
    for axis in range(3):
        padded = np.pad(inside, [(1, 1) if other == axis else (0, 0) for other in range(3)])
        surface += float(np.diff(padded.astype(np.int8), axis=axis).astype(bool).sum()) * voxel / spacing[axis]
    sides = (np.ptp(at, axis=0) + 1) * spacing
    spread = np.linalg.eigvalsh(np.cov(at.T * spacing[:, None], bias=True) + np.diag(spacing**2 / 12))
    centre = (at.mean(0) + 0.5) / np.array(volume.shape) - 0.5
    pieces, count = ndimage.label(inside)
    largest = np.bincount(pieces.ravel())[1:].max() / len(at)
    rest = volume[~inside].mean() if not inside.all() else 0.0
    figures = [np.log(size), np.log(surface), -surface / size ** (2 / 3), size / np.prod(sides)]
    figures += [*np.log(sides), *(0.5 * np.log(spread)), *centre]
    figures += [inside.mean(), volume[inside].mean() - rest, np.log(count), largest]
    return np.array(figures)


def otsu(values: np.ndarray, bins: int = 256) -> float:
    """The threshold in [0, 1] that parts values into two groups of the largest variance between them.

    Source: N. Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9 (1979), 62–66.

    >>> 0.2 <= otsu(np.array([0.1, 0.2, 0.8, 0.9])) < 0.8
    True
    """
    counts, edges = np.histogram(values, bins, (0.0, 1.0))
    below, middle = np.cumsum(counts), (edges[:-1] + edges[1:]) / 2
    sums = np.cumsum(counts * middle)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(np.where((below > 0) & (above > 0), between, -1))])
