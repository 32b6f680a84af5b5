"""How far a mask is from the true one: Dice and surface distances of each class, on the grid of the input."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric, SurfaceDistanceMetric

METRICS = ("dice", "surface_distance", "hausdorff_95")


def case_metrics(
    predicted: np.ndarray, true: np.ndarray, class_names: Sequence[str], spacing: Sequence[float]
) -> dict[str, dict[str, float]]:
    """Metrics of one case for each class but the background, by MONAI.

    - `dice`: `2·|P ∩ T| / (|P| + |T|)`; nan where the true mask has not the class and the prediction has not either, 0
      where only the prediction has it.
    - `surface_distance`: mean distance in millimetres between the borders of both, from each side (symmetric).
    - `hausdorff_95`: the 95th percentile of these distances, the larger of both sides.

    Distances are nan where either mask has not the class: there is no border to measure to.

    Source: Maier-Hein et al., "Metrics reloaded", Nature Methods 2024; `monai.metrics`.

    Args:
        predicted, true: class indices `(i, j, k)`.
        class_names: the background first.
        spacing: millimetres between voxels along `(i, j, k)`.

    Returns:
        For each class its metrics.

    >>> true = np.zeros((4, 4, 4), np.uint8)
    >>> true[1:3, 1:3, 1:3] = 1
    >>> case_metrics(np.roll(true, 1, axis=0), true, ["background", "cube"], (2.0, 1.0, 1.0))["cube"]["dice"]
    0.5
    """
    classes = len(class_names)
    box = _around(predicted, true)  # distances do not depend on what lies beyond
    given, wanted = (_one_hot(mask[box], classes) for mask in (predicted, true))
    found = {"dice": DiceMetric(include_background=False, ignore_empty=False)(given, wanted)[0]}
    for name, metric in (
        ("surface_distance", SurfaceDistanceMetric(include_background=False, symmetric=True)),
        ("hausdorff_95", HausdorffDistanceMetric(include_background=False, percentile=95)),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes that are not there
            found[name] = metric(given, wanted, spacing=[float(step) for step in spacing])[0]
    rows = {}
    for index, label in enumerate(class_names[1:]):
        row = {name: float(values[index]) for name, values in found.items()}
        there = bool(wanted[0, index + 1].any()), bool(given[0, index + 1].any())
        if there == (False, False):
            row["dice"] = float("nan")
        if not all(there):
            row["surface_distance"] = row["hausdorff_95"] = float("nan")
        rows[label] = row
    return rows


def _one_hot(mask: np.ndarray, classes: int) -> torch.Tensor:
    """`(1, classes, i, j, k)`, bool."""
    values = torch.from_numpy(np.ascontiguousarray(mask).astype(np.int64))
    return torch.stack([values == index for index in range(classes)])[None]


def _around(predicted: np.ndarray, true: np.ndarray) -> tuple[slice, ...]:
    """A box around what either mask shows, a voxel wider where the volume is: the border is then where it was."""
    shown = (predicted > 0) | (true > 0)
    if not shown.any():
        return tuple(slice(0, min(2, size)) for size in shown.shape)
    bounds = []
    for axis in range(shown.ndim):
        along = np.flatnonzero(shown.any(axis=tuple(other for other in range(shown.ndim) if other != axis)))
        bounds.append(slice(max(0, int(along[0]) - 1), int(along[-1]) + 2))
    return tuple(bounds)
