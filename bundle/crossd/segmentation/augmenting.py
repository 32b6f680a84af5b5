"""Random windows of a volume and its mask, and small changes of both in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.transforms import ClassesToIndicesd, EnsureTyped, RandCropByLabelClassesd, SelectItemsd, SpatialPadd

from crossd.training.augmenting import padding, small_changes

BOTH = ["image", "label"]


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
        flip_axes, affine_prob, intensity_prob: as for `crossd.training.augmenting.small_changes`.

    Returns:
        MONAI transforms of an item with `"image"` and `"label"`, both `(channel, depth, height, width)`.

    >>> from monai.transforms import Compose
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
