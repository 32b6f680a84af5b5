"""What the page of an evaluation says of predicted numbers and grades: the verdict, and the largest errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from crossd.cards.tasks import task_of
from crossd.errors import counted
from crossd.evaluation.figure import Figure
from crossd.evaluation.grades import expected_grades, said_and_true
from crossd.evaluation.predictions import Predictions

CURVES = {
    "scatter": "Predicted against true numbers",
    "agreement": "Differences against the mean of both, with where 95 % of them lie (Bland and Altman)",
}
WIDE = 0.2  # an interval of R² that says little
NOTES = (
    "Intervals are 95 %, by bootstrap over patients. One of no width says that the draws agree, not that nothing can "
    "go wrong.",
    "R² is the share of the variance of the true numbers that is told: 1 is best, 0 is what always saying their mean "
    "reaches, and less is worse than that. It is smaller where the cases differ less.",
    "MAE, RMSE and bias have the unit of the number. Numbers far from the mean are usually said too near to it.",
)


GRADE_NOTES = (
    NOTES[0],
    "Quadratic weighted kappa is the agreement beyond chance, where two steps off count four times as much as one: 1 "
    "is best, 0 is what chance and always the same grade reach. It is smaller where the cases differ less.",
    "MAE and bias are in steps, from one grade to the next. The answer is the median of the probabilities; Spearman's "
    "correlation is that of the expected grade. Balanced accuracy counts each grade the same, and all errors too.",
)


def grade_verdict(report: Mapping[str, Any]) -> str:
    """How good a model of grades is, in a few sentences.

    >>> figure = {"value": 0.8, "low": 0.7, "high": 0.9}
    >>> report = {"cases": 10, "patients": 8, "mae_of_median": 0.9, "splits": ["test"]}
    >>> grade_verdict({**report, "metrics": {"mae": figure, "quadratic_kappa": figure}})[:102]
    'Grades are off by 0.8 (95 % 0.7 to 0.9) steps on average, on 10 test cases of 8 patients; always sayin'
    """
    error, agreed = Figure.of(report, "mae"), Figure.of(report, "quadratic_kappa")
    start = (
        f"Grades are off by {error.text('.3g')} steps on average, on {_where(report)}; always saying the median grade "
        f"would be by {report['mae_of_median']:.3g}."
    )
    if agreed.low is None or agreed.high is None:
        return f"{start} There are too few patients for an interval of the weighted kappa."
    if agreed.low <= 0:
        return f"{start} Weighted kappa {agreed}: that is not told from chance."
    sure = ", not sure" if agreed.high - agreed.low > WIDE else ""
    return f"{start} Weighted kappa {agreed}: the interval is {agreed.high - agreed.low:.2f} wide{sure}."


def _where(report: Mapping[str, Any]) -> str:
    cases = f"{report['cases']} {'/'.join(report.get('splits', []))} cases".replace("  ", " ")
    return f"{cases} of {counted(report['patients'], 'patient')}"


def value_verdict(report: Mapping[str, Any]) -> str:
    """How good the model is, in a few sentences.

    >>> figure = {"value": 0.8, "low": 0.7, "high": 0.9}
    >>> report = {"classes": ["volume_ml"], "cases": 10, "patients": 8, "mae_of_mean": 0.6, "splits": ["test"]}
    >>> value_verdict({**report, "metrics": {"mae": figure, "r2": figure}})[:101]
    'volume_ml is off by 0.8 (95 % 0.7 to 0.9) on average, on 10 test cases of 8 patients; always saying t'
    """
    error, told = Figure.of(report, "mae"), Figure.of(report, "r2")
    start = (
        f"{report['classes'][0]} is off by {error.text('.4g')} on average, on {_where(report)}; always saying the mean "
        f"would be by {report['mae_of_mean']:.4g}."
    )
    if told.low is None or told.high is None:
        return f"{start} There are too few patients for an interval of R²."
    if told.low <= 0:
        return f"{start} R² {told}: that is not told from always saying the mean."
    sure = ", not sure" if told.high - told.low > WIDE else ""
    return f"{start} R² {told}: the interval is {told.high - told.low:.2f} wide{sure}."


def value_extremes(predictions: Predictions, count: int) -> tuple[list[int], list[int]]:
    """The cases of the largest errors, and of the smallest; of grades those of the expected one.

    >>> import torch
    >>> true = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    >>> said = true + torch.tensor([[0.1], [-2.0], [0.0], [1.0]])
    >>> value_extremes(Predictions.of(said, true, ["ml"], "regression"), 2)
    ([1, 3], [2, 0])
    """
    if task_of(predictions.task).ordered:
        errors = np.abs(expected_grades(predictions) - said_and_true(predictions)[1])
    else:
        errors = (predictions.probabilities - predictions.targets).abs()[:, 0].numpy()
    order = errors.argsort(kind="stable").tolist()
    half = min(count, len(order) // 2)
    return order[::-1][:half], order[:half]


def value_words(predictions: Predictions, row: int) -> str:
    """What is true of a case and what was said."""
    said, true = (float(part[row, 0]) for part in (predictions.probabilities, predictions.targets))
    return f"is {true:.4g}, said {said:.4g}"
