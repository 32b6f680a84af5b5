"""Arrays of a release as files that the bundle and image readers take: NIfTI for volumes, PNG for images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossd.data.nifti import write_nifti
from crossd.errors import CrossDError


@dataclass
class ArrayFiles:
    """Writes cases below a folder, and remembers the range of their values.

    Attributes:
        folder: the files go to `folder/images`.
        lowest: smallest value written.
        highest: largest value written.
    """

    folder: Path
    lowest: float = float("inf")
    highest: float = float("-inf")

    @property
    def value_range(self) -> tuple[float, float] | None:
        """Smallest and largest value, None before anything was written."""
        return (self.lowest, self.highest) if self.lowest <= self.highest else None

    def write_volume(self, name: str, channels: np.ndarray) -> tuple[Path, ...]:
        """Write a volume, one NIfTI file for each channel.

        Args:
            name: of the case.
            channels: `(channel, depth, height, width)`; 64-bit values are stored with 32 bits.

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
        """Write an image as PNG.

        Args:
            name: of the case.
            image: `(height, width)` or `(height, width, 3)`, values 0 to 255; fractions are rounded.

        Returns:
            The path `images/<name>.png`.

        Raises:
            CrossDError: values outside of 0 to 255.
        """
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
