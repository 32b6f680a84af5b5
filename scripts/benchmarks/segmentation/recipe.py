"""What every method of the segmentation benchmark shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scripts.benchmarks.runs.recipe import BaseRecipe


@dataclass(frozen=True)
class Recipe(BaseRecipe):
    """How each run is trained: crops in training, whole volumes in validation and test, at once or in windows.

    Attributes:
        crop: voxels of a training crop along (depth, height, width).
        size: voxels that whole volumes are padded to.
        foreground: part of the crops whose centre lies in a class, each class as often; the others lie anywhere.
        deep_supervision: of `CrossDUNet`.
        intensity: by which crops are scaled and shifted at most.
        overlap: of the windows, as large as a crop, that a volume is segmented in; None: at once, padded to `size`.
    """

    width: int = 8
    batch_size: int = 4
    steps: Mapping[float, int] = field(default_factory=lambda: {0.1: 300, 0.25: 300, 1.0: 300})
    crop: tuple[int, int, int] = (32, 32, 32)
    size: tuple[int, int, int] = (48, 64, 48)
    foreground: float = 0.67
    deep_supervision: int = 2
    intensity: float = 0.1
    overlap: float | None = None


RECIPES: dict[str, Recipe] = {
    "segmentation": Recipe(learning_rate=1e-2),
    "segmentation_windows": Recipe(learning_rate=1e-2, overlap=0.5),
}
"""By table."""
