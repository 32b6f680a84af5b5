"""Hippocampus in memory: whole volumes with their label maps, and which of them a run may learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from crossd.data import LoadMaskd, preprocessing
from crossd.data.sets.hippocampus_parts import hippocampus_splits
from crossd.data.splits import SPLITS, stratified_split
from crossd.errors import CrossDError
from torch import Tensor

from scripts.benchmarks.runs.reading import VOLUMES

CLASSES = ("background", "anterior", "posterior")


@dataclass(frozen=True)
class Masked:
    """Some cases, padded to one size on both sides.

    Attributes:
        images: `(cases, 1, depth, height, width)` in [0, 1]; padded with 0.
        labels: class indices, the same shape, uint8.
        names: of the cases.
        shapes: `(cases, 3)`, before padding.
        spacing: millimetres along (depth, height, width) of each case.
    """

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    spacing: tuple[tuple[float, ...], ...]

    def take(self, cases: Sequence[int]) -> Masked:
        """These cases only."""
        chosen = list(cases)
        return Masked(
            self.images[chosen],
            self.labels[chosen],
            tuple(self.names[case] for case in chosen),
            tuple(self.shapes[case] for case in chosen),
            tuple(self.spacing[case] for case in chosen),
        )

    def unpadded(self, values: Tensor, case: int) -> Tensor:
        """What lies inside the volume of a case, of `(depth, height, width)` padded."""
        starts = [(size - shape) // 2 for size, shape in zip(values.shape, self.shapes[case], strict=True)]
        inside = (slice(a, a + shape) for a, shape in zip(starts, self.shapes[case], strict=True))
        return values[tuple(inside)]


@lru_cache(maxsize=2)
def read_hippocampus(folder: Path, size: tuple[int, int, int]) -> dict[str, Masked]:
    """All volumes of Task04 that have a label map, by split: that of HippocampusParts, so that nothing leaks.

    Args:
        folder: with `images` and `labels`.
        size: voxels to pad to.

    Raises:
        CrossDError: when there are none, or one is larger.
    """
    read, load = preprocessing(VOLUMES), LoadMaskd((0, 1, 2))
    found: dict[str, list[tuple[str, Tensor, Tensor, tuple[float, ...]]]] = {split: [] for split in SPLITS}
    for name, split in hippocampus_splits(folder).items():
        image, mask = (str(folder / kind / f"{name}.nii.gz") for kind in ("images", "labels"))
        item = load(read({"image": [image], "mask": mask}))
        spacing = tuple(float(step) for step in item["image"].affine[:3, :3].norm(dim=0))
        found[split].append((name, torch.as_tensor(item["image"]), torch.as_tensor(item["label"]), spacing))
    return {split: _together(cases, size) for split, cases in found.items()}


def _together(cases: Sequence[tuple[str, Tensor, Tensor, tuple[float, ...]]], size: tuple[int, int, int]) -> Masked:
    images, labels = torch.zeros(len(cases), 1, *size), torch.zeros(len(cases), 1, *size, dtype=torch.uint8)
    shapes = tuple(tuple(image.shape[1:]) for _, image, _, _ in cases)
    names, spacing = tuple(name for name, *_ in cases), tuple(step for *_, step in cases)
    masked = Masked(images, labels, names, shapes, spacing)
    for case, (name, image, label, _) in enumerate(cases):
        if any(shape > limit for shape, limit in zip(shapes[case], size, strict=True)):
            raise CrossDError(f"A volume fits into the recipe's size {size}; {name} has {shapes[case]}. Enlarge it.")
        masked.unpadded(images[case, 0], case).copy_(image[0])
        masked.unpadded(labels[case, 0], case).copy_(label[0])
    return masked


def labelled_share(part: Masked, fraction: float, seed: int) -> Masked:
    """A share of the cases: those whose label maps a run may use; the same for every method, another for each seed."""
    if fraction >= 1:
        return part
    shares = {"kept": fraction, "left": 1 - fraction}
    chosen = stratified_split(part.names, [[0]] * len(part.names), shares, seed)
    return part.take([case for case, where in enumerate(chosen) if where == "kept"])
