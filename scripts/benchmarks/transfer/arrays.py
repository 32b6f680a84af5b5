"""Images, volumes and labels of a .npz file as a run takes them: one channel, in [0, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from crossd.data.npz_arrays import NpzArray
from crossd.data.sets.enhanced_medmnist import layout
from crossd.errors import CrossDError
from monai.transforms import Resize, ScaleIntensityRangePercentiles
from monai.utils import convert_to_tensor
from torch import Tensor

from scripts.benchmarks.runs.reading import PERCENTILES


def one_channel(images: np.ndarray, source: Path, image_size: int) -> Tensor:
    """Images or volumes with one channel, values in [0, 1].

    Channels are averaged. Whole numbers up to 255 are divided by that; what lies in [0, 1] stays; of any other case
    (Hounsfield units, raw MR) the percentiles 0.5 and 99.5 become 0 and 1.

    Args:
        images: of any layout of `crossd.data.sets.enhanced_medmnist`.
        source: the file, for messages.
        image_size: pixels a side that images are resized to; volumes keep their size.

    Returns:
        `(cases, 1, [depth,] height, width)`.

    Raises:
        CrossDError: for another layout.

    >>> one_channel(np.full((2, 8, 8, 3), 51, np.uint8), Path("a.npz"), 4)[0, 0, 0, 0]
    tensor(0.2000)
    """
    volumes, channel_axis = layout(NpzArray(source, "images", images.shape, images.dtype))
    values = torch.from_numpy(images.astype(np.float32))
    if channel_axis is not None:
        values = values.mean(1 + channel_axis)
    values = values.unsqueeze(1)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and 1 < high <= 255:
        values = values / 255
    elif low < 0 or high > 255:
        scale = ScaleIntensityRangePercentiles(*PERCENTILES, 0, 1, clip=True)
        values = torch.stack([torch.as_tensor(scale(case)) for case in values])
    if not volumes and values.shape[-2:] != (image_size, image_size):
        resize = Resize((image_size, image_size), mode="bilinear")
        values = torch.stack([torch.as_tensor(resize(image)) for image in values])
    return convert_to_tensor(values, track_meta=False)  # type: ignore[no-any-return]


def one_label(labels: np.ndarray, cases: int, source: Path) -> Tensor:
    """Labels `(cases,)`, from `(cases,)` or `(cases, 1)`.

    Raises:
        CrossDError: for several labels a case, or another number of them.

    >>> one_label(np.array([[0], [1]]), 2, Path("a.npz"))
    tensor([0, 1])
    """
    if labels.size != cases or len(labels) != cases or np.any(labels != labels.astype(np.int64)):
        raise CrossDError(
            f"The benchmark takes one whole number per case as its label, (N,) or (N, 1); {source} has labels "
            f"{labels.shape} {labels.dtype} for {cases} cases. Sets of several labels a case are trained by "
            "configs/train.json with --task multilabel."
        )
    return torch.from_numpy(labels.reshape(-1).astype(np.int64))
