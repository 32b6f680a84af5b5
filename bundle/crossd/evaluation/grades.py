"""How good said grades are: how many steps they are off, and how much of that chance would have done."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from crossd.evaluation.metrics import calibration_error, nan_mean, negative_log_likelihood
from crossd.evaluation.predictions import Predictions

NAN = float("nan")
Array = np.ndarray


def grade_metrics(predictions: Predictions) -> dict[str, float]:
    """All figures of grades; nan where one is not defined (cases of one grade, say).

    Errors are in steps, from one grade to the next. What is said is the median, see `OperatingPoint`.

    - `quadratic_kappa`: agreement beyond chance, where being off by two steps counts four times as much as by one
      (Cohen, Psychological Bulletin 1968): 1 best, 0 what chance and always the same grade reach.
    - `mae`: mean number of steps that answers are off; `bias`: mean of said minus true.
    - `spearman`: correlation of the ranks of true and expected grades, see `expected_grades`.
    - `balanced_accuracy`: mean over the grades present of the share of their cases that is right; `accuracy`.
    - `calibration_error`, `loss`: as of classes, see `classification_metrics`.

    >>> import torch
    >>> said, true = torch.eye(3)[[0, 1, 1, 2]], torch.eye(3)[[0, 1, 2, 2]]
    >>> values = grade_metrics(Predictions.of(said, true, ["0", "1", "2"], "ordinal"))
    >>> {name: round(values[name], 3) for name in ("quadratic_kappa", "mae", "balanced_accuracy")}
    {'quadratic_kappa': 0.8, 'mae': 0.25, 'balanced_accuracy': 0.833}
    """
    from scipy.stats import ConstantInputWarning, spearmanr

    said, true = said_and_true(predictions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)  # nan says it
        ranks = float(spearmanr(expected_grades(predictions), true).statistic) if len(true) > 1 else NAN
    probabilities, targets = predictions.probabilities.double(), predictions.targets.long()
    return {
        "quadratic_kappa": quadratic_kappa(said, true),
        "mae": float(np.abs(said - true).mean()),
        "bias": float((said - true).mean()),
        "spearman": ranks,
        "balanced_accuracy": nan_mean([float((said[true == grade] == grade).mean()) for grade in np.unique(true)]),
        "accuracy": float((said == true).mean()),
        "calibration_error": calibration_error(probabilities, targets, predictions.task),
        "loss": negative_log_likelihood(probabilities, targets, predictions.task),
    }


def said_and_true(predictions: Predictions) -> tuple[Array, Array]:
    """Places of the grades that were said and that are true, from 0, `(cases,)`."""
    return predictions.decided.numpy().argmax(1), predictions.targets.numpy().argmax(1)


def expected_grades(predictions: Predictions) -> Array:
    """The mean place of the grade under the probabilities, `(cases,)`."""
    probabilities = predictions.probabilities.double().numpy()
    return np.asarray(probabilities @ np.arange(probabilities.shape[1]))


def quadratic_kappa(said: Array, true: Array) -> float:
    """Cohen's kappa with squared steps as weights, of places `(cases,)`; nan where there is one grade alone.

    The squared difference of two cases drawn by chance is the variances and the squared difference of the means. That
    of scikit-learn, in a hundredth of the time, for it is computed in every draw of the bootstrap.

    >>> quadratic_kappa(np.array([0, 1, 2]), np.array([0, 1, 2])), quadratic_kappa(np.array([1, 1]), np.array([0, 2]))
    (1.0, 0.0)
    """
    by_chance = said.var() + true.var() + (said.mean() - true.mean()) ** 2
    return float(1 - np.square(said - true).mean() / by_chance) if by_chance > 0 else NAN


def grade_report(predictions: Predictions) -> dict[str, Any]:
    """`mae_of_median`: the mean number of steps that always saying the median grade of these cases is off.

    >>> import torch
    >>> true = torch.eye(3)[[0, 1, 1, 2]]
    >>> grade_report(Predictions.of(true, true, ["0", "1", "2"], "ordinal"))
    {'mae_of_median': 0.5}
    """
    _, true = said_and_true(predictions)
    return {"mae_of_median": float(np.abs(true - np.median(true)).mean())}
