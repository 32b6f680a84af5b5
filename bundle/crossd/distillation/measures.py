"""How much of what the 2D side tells of volumes that were held out the student says too."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from ignite.metrics import MeanSquaredError, Metric
from torch import Tensor


def explained_metrics() -> dict[str, Metric]:
    """ignite metrics of predictions `(batch, component)` against components whose mean is 0.

    Returns:
        `val_explained`: 1 − Σ(error²) / Σ(component²), 1 for a perfect student and 0 for one that always says the mean;
        and `val_loss`: the sum over components of the mean squared error.
    """
    error = MeanSquaredError(output_transform=_pred_and_label)
    spread = MeanSquaredError(output_transform=_nothing_and_label)
    return {"val_explained": 1 - error / spread, "val_loss": error}


def _pred_and_label(output: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    return output["pred"].detach(), output["label"]


def _nothing_and_label(output: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(output["label"]), output["label"]
