"""A mask beside its image: read, checked against it and against the declared classes, and brought onto its grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import ResampleToMatch, Transform

from crossd.data.reading import read_volume
from crossd.data.resampling import parallel_grids, tidy_affine
from crossd.data.volume import apart
from crossd.errors import CrossDError

APART = 0.1  # voxels, at the corners: what programs lose when they write an affine stays far below
SHOWN = 5


def read_mask(
    source: str, image: MetaTensor, label_values: Sequence[int], allow_empty: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Read the mask of an image, as the index of each voxel's class.

    Args:
        source: a NIfTI, NRRD or MetaImage file.
        image: as `read_volume` or the preprocessing gives it; its meta holds `spatial_shape` and `original_affine` of
            the file.
        label_values: the value of each class in the mask, the background's, 0, first.
        allow_empty: whether a mask may hold nothing but background.

    Returns:
        Class indices `(i, j, k)` in the order of the file, uint8 or int32, and the image's affine `(4, 4)`.

    Raises:
        CrossDError: for a mask of another shape or place than its image, fractional values, values that are no
            declared class, and background only.
    """
    mask = read_volume(source)
    name, pictured = str(source), str(image.meta.get("filename_or_obj", "its image"))
    shape = tuple(int(size) for size in image.meta["spatial_shape"])
    if tuple(mask.shape[1:]) != shape:
        raise CrossDError(
            f"A mask has the shape of its image: '{name}' has {tuple(mask.shape[1:])} and '{pictured}' {shape}. "
            "Resample it onto the image (nearest neighbour), or correct the pair."
        )
    affine = torch.as_tensor(image.meta["original_affine"], dtype=torch.float64).numpy()
    if image.meta.get("has_affine", True) and mask.meta["has_affine"]:
        distance = apart(mask.meta["original_affine"].numpy(), affine, shape)
        if distance > APART * float(np.linalg.norm(affine[:3, :3], axis=0).min()):
            raise CrossDError(
                f"A mask lies where its image does: by their affines '{name}' and '{pictured}' are up to "
                f"{distance:.3g} mm apart at the corners. Resample the mask onto the image (nearest neighbour), or "
                "correct the wrong affine."
            )
    values = mask.as_tensor()[0].numpy()
    whole = np.rint(values)
    if not np.array_equal(values, whole):
        where = tuple(int(index) for index in np.argwhere(values != whole)[0])
        raise CrossDError(
            f"The values of a mask are whole numbers: '{name}' has {int((values != whole).sum())} others, such as "
            f"{float(values[where]):.4g} at {where}. Take the mask before it was interpolated; probabilities are none."
        )
    found = np.unique(whole).astype(np.int64).tolist()
    unknown = [value for value in found if value not in label_values]
    if unknown:
        listed = ", ".join(map(str, unknown[:SHOWN])) + (" …" if len(unknown) > SHOWN else "")
        raise CrossDError(
            f"The values of a mask are those of the classes, {', '.join(map(str, label_values))}: '{name}' also has "
            f"{listed}. Declare these by --classes, or correct the mask."
        )
    if found == [0] and not allow_empty:
        raise CrossDError(
            f"A mask shows something: '{name}' is background only. Leave the case out, or pass --allow_empty true "
            "where nothing is there to be found."
        )
    indices = np.zeros(max(label_values) + 1, np.uint8 if len(label_values) <= 256 else np.int32)
    indices[list(label_values)] = range(len(label_values))
    return indices[whole.astype(np.int64)], affine


class LoadMaskd(Transform):
    """MONAI dictionary transform: the mask on the grid of its preprocessed image, as class indices.

    Takes `image`, `(channel, depth, height, width)`; gives `label`, `MetaTensor (1, depth, height, width)`, uint8 or
    int32. It follows the image's preprocessing, and takes the nearest voxel of the mask for each voxel of the image.

    Args:
        label_values, allow_empty: see `read_mask`.
        key: entry that holds the mask's file.
    """

    def __init__(self, label_values: Sequence[int], allow_empty: bool = False, key: str = "mask") -> None:
        self.label_values = list(label_values)
        self.allow_empty = allow_empty
        self.key = key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the mask."""
        d = dict(data)
        indices, affine = read_mask(d[self.key], d["image"], self.label_values, self.allow_empty)
        d["label"] = nearest_on(indices, tidy_affine(affine), d["image"])
        return d


def nearest_on(indices: np.ndarray, affine: np.ndarray, image: MetaTensor) -> MetaTensor:
    """Class indices `(i, j, k)` on the grid of a preprocessed image, as `(1, depth, height, width)`.

    >>> image = MetaTensor(torch.zeros(1, 2, 2, 2), affine=torch.diag(torch.tensor([-1.0, 1, 1, 1])).double())
    >>> nearest_on(np.arange(8, dtype=np.uint8).reshape(2, 2, 2), np.diag([-1.0, 1, 1, 1]), image).flatten().tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    shape = tuple(image.shape[1:])
    grids = parallel_grids(affine, image.affine.numpy(), shape)
    given = torch.from_numpy(np.ascontiguousarray(indices))
    if grids is None:  # an image that was turned by an angle
        whole = MetaTensor(given[None].float(), affine=torch.as_tensor(affine))
        turned = ResampleToMatch(mode="nearest", padding_mode="border", dtype=np.float64)(whole, img_dst=image)
        given = torch.as_tensor(turned)[0].to(given.dtype)
    else:
        given = given.permute(grids.axes)
        for axis, size in enumerate(shape):
            at = grids.first[axis] + grids.step[axis] * torch.arange(size, dtype=torch.float64)
            given = given.index_select(axis, at.round().long().clamp(0, given.shape[axis] - 1))
    return MetaTensor(given[None], affine=image.affine)
