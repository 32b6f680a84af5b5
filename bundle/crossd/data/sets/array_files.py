"""Arrays of a release, and boxes of its volumes, as files that the bundle reads: NIfTI for volumes, PNG for images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossd.data.nifti import write_nifti
from crossd.errors import CrossDError


@dataclass
class ArrayFiles:
    """Writes cases to `folder/images`, and remembers the range of their values."""

    folder: Path
    lowest: float = float("inf")
    highest: float = float("-inf")

    @property
    def value_range(self) -> tuple[float, float] | None:
        """Smallest and largest value, None before anything was written."""
        return (self.lowest, self.highest) if self.lowest <= self.highest else None

    def write_volume(self, name: str, channels: np.ndarray) -> tuple[Path, ...]:
        """Write a volume `(channel, depth, height, width)`, one NIfTI file a channel; 64-bit values with 32 bits.

        Returns:
            The paths `images/<name>.nii.gz`, or with several channels `images/<name>_<channel>.nii.gz`.

        Raises:
            CrossDError: values that are no numbers, or whole numbers that 32 bits do not hold.
        """
        self._look(channels, name)
        names = [name] if len(channels) == 1 else [f"{name}_{index}" for index in range(len(channels))]
        paths = tuple(self.folder / "images" / f"{name}.nii.gz" for name in names)
        for path, volume in zip(paths, channels, strict=True):
            write_nifti(path, _storable(volume))
        return paths

    def write_image(self, name: str, image: np.ndarray) -> tuple[Path, ...]:
        """Write an image `(height, width)` or `(height, width, 1 or 3)`, rounded, as PNG `images/<name>.png`."""
        from PIL import Image

        self._look(image, name)
        if self.lowest < 0 or self.highest > 255:
            raise CrossDError(
                f"Images hold 0 to 255, got {image.min():g} to {image.max():g} in {name}. Scale them, and "
                "save the file again."
            )
        path = self.folder / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = image if image.dtype == np.uint8 else np.rint(image).astype(np.uint8)
        Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels).save(path)
        return (path,)

    def _look(self, values: np.ndarray, name: str) -> None:
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            raise CrossDError(f"Voxels are finite numbers, got {low} to {high} in {name}. Download the file again.")
        if values.dtype.kind in "iu" and values.dtype.itemsize == 8 and not -(2**31) <= low <= high < 2**31:
            raise CrossDError(
                f"Voxels are stored with 32 bits, got {low:g} to {high:g} in {name}. Scale them, and save again."
            )
        self.lowest, self.highest = min(self.lowest, low), max(self.highest, high)


def _storable(volume: np.ndarray) -> np.ndarray:
    """A dtype that NIfTI readers share: 8- to 32-bit numbers."""
    if volume.dtype.kind == "f":
        return volume.astype(np.float32)
    if volume.dtype.kind == "b":
        return volume.astype(np.uint8)
    return volume.astype(np.int32) if volume.dtype.itemsize == 8 else volume


def with_labels(image: Path, label_map: Path) -> tuple[Any, np.ndarray]:
    """A NIfTI image and the values of its label map, both `(i, j, k)`."""
    import nibabel

    volume = nibabel.Nifti1Image.from_filename(image)
    labels = np.asarray(nibabel.Nifti1Image.from_filename(label_map).dataobj)
    if labels.shape != volume.shape:
        raise CrossDError(
            f"A label map has its image's shape, got {labels.shape} and {volume.shape} for {image}. Unpack it again."
        )
    return volume, labels


def box_around(mask: np.ndarray, extent: int | np.ndarray) -> tuple[int, ...]:
    """The first voxel of a box of this extent around the centre of a mask, moved so far that it lies in the volume.

    >>> box_around(np.arange(20).reshape(1, 1, 20) > 16, np.array([1, 1, 4]))
    (0, 0, 16)
    """
    start = np.rint(np.argwhere(mask).mean(0) - (np.asarray(extent) - 1) / 2)
    return tuple(int(first) for first in np.clip(start, 0, np.array(mask.shape) - extent))


def save_box(path: Path, image: Any, start: Sequence[int], extent: Sequence[int]) -> Path:
    """Write a box of a NIfTI image, where it lies in the patient, and give the path back."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    box = tuple(slice(first, first + length) for first, length in zip(start, extent, strict=True))
    nibabel.save(image.slicer[box], path)
    return path
