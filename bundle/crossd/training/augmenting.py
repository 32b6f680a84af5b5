"""Random windows of a volume, and of its mask, and small changes of them in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.transforms import (
    ClassesToIndicesd,
    Compose,
    EnsureTyped,
    RandAffined,
    RandCropByLabelClassesd,
    RandFlipd,
    RandGaussianNoised,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSpatialCropd,
    SelectItemsd,
    SpatialPadd,
)

BOTH = ["image", "label"]


def augmentation(
    roi_size: Sequence[int] | None,
    background: float | Sequence[float] = 0.0,
    flip_axes: Sequence[int] = (2,),
    affine_prob: float = 0.5,
    intensity_prob: float = 0.3,
) -> list[Any]:
    """A random window of a volume, and small random changes of it; a config may put a list of its own in its place.

    Args:
        roi_size: voxels of the window along depth, height, width; smaller volumes are padded. None: the whole volume,
            of any size, which is not shifted.
        background: their padding; of one number per channel the mean.
        flip_axes, affine_prob, intensity_prob: as for `small_changes`.

    Returns:
        MONAI transforms of an item with `"image"`, `(channel, depth, height, width)`.

    >>> item = Compose(augmentation([8, 8, 8]))({"image": torch.rand(1, 6, 9, 12)})
    >>> tuple(item["image"].shape)
    (1, 8, 8, 8)
    """
    window: list[Any] = []
    if roi_size is not None:
        window.append(SpatialPadd("image", roi_size, value=padding(background)))
        window.append(RandSpatialCropd("image", roi_size, random_size=False))
    shifts = None if roi_size is None else [size / 16 for size in roi_size]
    return [
        *window,
        *small_changes(["image"], flip_axes, affine_prob, intensity_prob, shifts),
        EnsureTyped("image", track_meta=False),
    ]


def mask_augmentation(
    roi_size: Sequence[int],
    classes: int,
    crops: int = 2,
    crop_ratios: Sequence[float] | None = None,
    background: float | Sequence[float] = 0.0,
    flip_axes: Sequence[int] = (2,),
    affine_prob: float = 0.3,
    intensity_prob: float = 0.3,
) -> list[Any]:
    """Windows of a case, their centres in its classes; a config may put a list of its own in its place.

    Args:
        roi_size: voxels of a window along depth, height, width; smaller volumes are padded.
        classes: how many, the background included.
        crops: windows of a case.
        crop_ratios: how often a centre lies in each class; None: each as often.
        background: the padding of images; of one number per channel the mean. Masks are padded with class 0.
        flip_axes, affine_prob, intensity_prob: as for `small_changes`.

    Returns:
        MONAI transforms of an item with `"image"` and `"label"`, both `(channel, depth, height, width)`.

    >>> mask = torch.zeros(1, 9, 9, 9)
    >>> mask[:, 4:6] = 1
    >>> items = Compose(mask_augmentation([8, 8, 8], 2, crops=3))({"image": torch.rand(1, 9, 9, 9), "label": mask})
    >>> len(items), tuple(items[0]["label"].shape), items[0]["label"].dtype
    (3, (1, 8, 8, 8), torch.float32)
    """
    return [
        SpatialPadd("image", roi_size, value=padding(background)),
        SpatialPadd("label", roi_size, value=0),
        ClassesToIndicesd("label", num_classes=classes, max_samples_per_class=100000),
        RandCropByLabelClassesd(
            BOTH,
            label_key="label",
            spatial_size=roi_size,
            ratios=None if crop_ratios is None else list(crop_ratios),
            num_classes=classes,
            num_samples=crops,
            indices_key="label_cls_indices",
            warn=False,
        ),
        SelectItemsd(BOTH),
        *small_changes(BOTH, flip_axes, affine_prob, intensity_prob),
        EnsureTyped(BOTH, dtype=torch.float32, track_meta=False),
    ]


def padding(background: float | Sequence[float]) -> float:
    """One value of the background for all channels."""
    return background if isinstance(background, (int, float)) else sum(background) / len(background)


def small_changes(
    keys: Sequence[str],
    flip_axes: Sequence[int],
    affine_prob: float,
    intensity_prob: float,
    shifts: Sequence[float] | None = None,
) -> list[Any]:
    """Mirroring, a rotation, scaling and shift of all keys, masks by the nearest voxel; contrast and noise of images.

    Args:
        keys: `["image"]`, or `["image", "label"]` where the label is a mask.
        flip_axes: axes mirrored half of the time, 0 depth, 1 height, 2 width.
        affine_prob: of a rotation, scaling and shift.
        intensity_prob: of each change of intensities.
        shifts: voxels of a shift along each axis at most; None: no shift, which random windows are anyway.
    """
    return [
        Compose([RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in flip_axes]),
        RandAffined(
            keys,
            prob=affine_prob,
            rotate_range=[0.15, 0.15, 0.15],
            scale_range=[0.1, 0.1, 0.1],
            translate_range=shifts,
            mode=["bilinear", "nearest"][: len(keys)],
            padding_mode="border",
        ),
        RandScaleIntensityd("image", factors=0.1, prob=intensity_prob),
        RandShiftIntensityd("image", offsets=0.1, prob=intensity_prob),
        RandGaussianNoised("image", std=0.05, prob=intensity_prob),
    ]
