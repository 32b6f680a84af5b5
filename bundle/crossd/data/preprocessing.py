"""From a file to what the network sees, as the model card states it: the same chain for training and inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import Compose, EnsureChannelFirstd, EnsureTyped, NormalizeIntensityd

from crossd.data.cache import CachedVolumesd
from crossd.data.reading import LoadImageVolumed
from crossd.data.resampling import SeparableSpacingd
from crossd.data.transforms import CheckChannelsd, OrientPlaned, ScaleToUnitd
from crossd.errors import CrossDError

_REQUIRED = ("channels", "plane", "spacing", "intensity", "mean", "std")


def preprocessing(
    card_input: Mapping[str, Any],
    keys: KeysCollection = "image",
    series: str | Sequence[str] | None = None,
    tilt: str = "correct",
    volume: int | None = None,
    cache_dir: str | None = None,
    cache_dir_gb: float = 100,
) -> Compose:
    """The chain of transforms that a model card's `input` describes.

    Read → channels checked → plane → spacing → [0, 1] → (value − mean) / std.

    Args:
        card_input: with the keys

            - `channels`: list of names
            - `plane`: "axial", "coronal", "sagittal" or "acquired"
            - `spacing`: millimetres along (depth, height, width), or None to leave the voxels as they are
            - `intensity`: `{"mode": "window" | "percentile" | "range", "lower": …, "upper": …}`
            - `mean`, `std`: of the values in [0, 1]; numbers, or a list with one per channel
        keys: entries of the items that hold channel sources.
        series: which series is meant where a source is a folder with several (`crossd.data.read_volume`).
        tilt: "correct" or "refuse" for DICOM series of a tilted gantry.
        volume: which volume of 4D files, from 0; sources `FILE@NUMBER` say it themselves.
        cache_dir: folder that keeps what comes out, for the next epoch and the next run (see `CachedVolumesd`); None:
            nothing is kept.
        cache_dir_gb: GiB that it may hold.

    Returns:
        A transform of items: their sources become `MetaTensor (channel, depth, height, width)`, float32. MONAI's
        `Invertd` takes what has that grid back to the grid of the file.

    Raises:
        CrossDError: a key that is missing, or a value out of its range.
    """
    missing = [name for name in _REQUIRED if name not in card_input]
    if missing:
        raise CrossDError(
            f"The input of a model card needs {', '.join(_REQUIRED)}: {', '.join(missing)} is missing. Add it."
        )
    if card_input.get("pseudo_3d") is not None:
        raise CrossDError(
            "Volumes are for models of volumes; this one classifies images, which it sees by Pseudo3D as its card "
            f"says: {card_input['pseudo_3d']}. Test it on images with configs/train_2d.json, or train it on volumes "
            "with configs/train.json --weights FILE."
        )
    channels, intensity = card_input["channels"], card_input["intensity"]
    if not isinstance(intensity, Mapping) or not {"mode"} <= set(intensity) <= {"mode", "lower", "upper"}:
        raise CrossDError(
            f"intensity must have the keys mode, lower and upper, got {intensity!r}. "
            'Example: {"mode": "percentile", "lower": 0.5, "upper": 99.5}.'
        )
    check = CheckChannelsd(keys, channels)
    steps: list[Any] = [
        LoadImageVolumed(keys, volume=volume, series=series, tilt=tilt),
        EnsureChannelFirstd(keys),
        check,
        OrientPlaned(keys, card_input["plane"]),
    ]
    if card_input["spacing"] is not None:
        steps.append(SeparableSpacingd(keys, pixdim=_spacing(card_input["spacing"]), mode="bilinear"))
    steps.append(ScaleToUnitd(keys, **intensity))
    mean = _per_channel("mean", card_input["mean"], len(check.channels))
    std = _per_channel("std", card_input["std"], len(check.channels))
    if not std.min() > 0:
        raise CrossDError(f"std must be positive, got {card_input['std']}. Use 1.0 to leave the values as they are.")
    if mean.any() or (std != 1).any():
        steps.append(NormalizeIntensityd(keys, subtrahend=mean, divisor=std, channel_wise=True))
    steps.append(EnsureTyped(keys, dtype=torch.float32, track_meta=True))
    if cache_dir is None:
        return Compose(steps)
    parameters = {name: card_input[name] for name in _REQUIRED}
    parameters |= {"series": series, "tilt": tilt, "volume": volume}
    return Compose([CachedVolumesd(keys, Compose(steps), parameters, cache_dir, cache_dir_gb)])


def _spacing(spacing: Any) -> list[float]:
    try:
        values = [float(value) for value in spacing]
    except (TypeError, ValueError):
        values = []
    if len(values) != 3 or not all(0 < value < float("inf") for value in values):
        raise CrossDError(
            f"spacing must be three positive lengths in millimetres (depth, height, width), or null, got {spacing!r}. "
            "Example: [1.0, 1.0, 1.0]."
        )
    return values


def _per_channel(name: str, value: Any, channels: int) -> np.ndarray:
    if isinstance(value, (int, float)):
        value = [value] * channels
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != channels:
        raise CrossDError(f"{name} must be a number or one per channel ({channels}), got {value!r}. Correct the card.")
    return np.array([float(item) for item in value])
