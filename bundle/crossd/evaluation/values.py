"""How good predicted numbers are: how far off they are, and how much of the differences between cases they tell."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from crossd.evaluation.predictions import Predictions

NAN = float("nan")
OWN_UNIT = ("mae", "rmse", "bias", "mae_of_mean", "mae_of_median")
"""Figures in the unit of the target, of grades in steps; the others have none."""


def value_metrics(predictions: Predictions) -> dict[str, float]:
    """All figures of a regression; nan where one is not defined (true values that are all the same, say).

    - `r2`: coefficient of determination $1 - \\sum (y - \\hat y)^2 / \\sum (y - \\bar y)^2$: 1 best, 0 what always
      saying the mean of these cases reaches, below 0 worse than that.
    - `mae`, `rmse`: mean absolute error, root of the mean squared error; `bias`: mean of predicted minus true.
    - `spearman`: correlation of the ranks.

    >>> import torch
    >>> true = torch.tensor([[1.0], [2.0], [3.0]])
    >>> values = value_metrics(Predictions.of(true + 0.5, true, ["ml"], "regression"))
    >>> {name: round(value, 3) for name, value in values.items()}
    {'r2': 0.625, 'mae': 0.5, 'rmse': 0.5, 'bias': 0.5, 'spearman': 1.0}
    """
    from scipy.stats import ConstantInputWarning, spearmanr

    said, true = (part[:, 0].double().numpy() for part in (predictions.probabilities, predictions.targets))
    error = said - true
    spread = float(np.square(true - true.mean()).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)  # nan says it
        ranks = float(spearmanr(said, true).statistic) if len(true) > 1 else NAN
    return {
        "r2": 1 - float(np.square(error).sum()) / spread if spread > 0 else NAN,
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "bias": float(error.mean()),
        "spearman": ranks,
    }


def value_report(predictions: Predictions) -> dict[str, Any]:
    """What a report says of the true values: how they lie, and `mae_of_mean`, the error of always saying their mean.

    >>> import torch
    >>> true = torch.tensor([[1.0], [2.0], [6.0]])
    >>> value_report(Predictions.of(true, true, ["ml"], "regression"))
    {'target': {'mean': 3.0, 'std': 2.160246899469287, 'min': 1.0, 'max': 6.0}, 'mae_of_mean': 2.0}
    """
    true = predictions.targets[:, 0].double().numpy()
    target = {"mean": true.mean(), "std": true.std(), "min": true.min(), "max": true.max()}
    error = float(np.abs(true - true.mean()).mean())
    return {"target": {name: float(value) for name, value in target.items()}, "mae_of_mean": error}


def figure_text(name: str, value: float) -> str:
    """A figure as pages and logs have it.

    >>> figure_text("r2", 0.81234), figure_text("mae", 151.234)
    ('0.812', '151.2')
    """
    return f"{value:.4g}" if name in OWN_UNIT else f"{value:.3f}"
