"""Two models on the same cases: by how much one is better, and whether that could be chance."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from crossd.cards.operating_point import OperatingPoint
from crossd.cards.tasks import task_of
from crossd.data.delimited import write_table
from crossd.errors import CrossDError, counted
from crossd.evaluation.bootstrap import bootstrap_intervals
from crossd.evaluation.figure import Figure
from crossd.evaluation.grades import quadratic_kappa, said_and_true
from crossd.evaluation.intervals import figures_of
from crossd.evaluation.metrics import class_aucs, nan_mean
from crossd.evaluation.plots import plot_two
from crossd.evaluation.predictions import Predictions
from crossd.evaluation.tables import TITLES, read_predictions
from crossd.evaluation.values import OWN_UNIT, figure_text, value_metrics

FIGURES = (
    *("auc", "average_precision", "balanced_accuracy", "sensitivity", "specificity", "brier", "loss"),
    *("quadratic_kappa", "r2", "mae", "rmse", "bias", "spearman"),  # of grades and regressions
)
NAMES = {"auc": "AUROC", "mae": "MAE"}  # of what two runs are told apart by


def key_figure(task: str) -> str:
    """The figure that a verdict rests on: "auc", of grades "quadratic_kappa", of a regression "r2"."""
    if task_of(task).ordered:
        return "quadratic_kappa"
    return "auc" if task_of(task).classifies else "r2"


def key_figures(predictions: Predictions) -> dict[str, float]:
    """That of `key_figure` alone, which is quicker than all; of several classes the mean AUC."""
    if task_of(predictions.task).ordered:
        return {"quadratic_kappa": quadratic_kappa(*said_and_true(predictions))}
    if not task_of(predictions.task).classifies:
        return {"r2": value_metrics(predictions)["r2"]}
    return {"auc": nan_mean(class_aucs(predictions.probabilities, predictions.targets))}


def _figures(predictions: Predictions) -> dict[str, float]:
    values = figures_of(predictions)
    return {name: values[name] for name in FIGURES if name in values}


def differences(
    one: Predictions,
    other: Predictions,
    figures: Callable[[Predictions], Mapping[str, float]] = key_figures,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float, Figure]]:
    """Figures of both, and the second minus the first with a 95 % interval, by a bootstrap that draws the same patients
    for both.

    Args:
        one, other: of the same cases in the same order.
        figures: which.
        samples, seed: of the bootstrap.

    >>> targets = torch.eye(2)[[0, 1] * 4]
    >>> chance, right = (Predictions.of(p, targets, "ab", "multiclass") for p in (torch.full((8, 2), 0.5), targets))
    >>> differences(chance, right)["auc"]
    (0.5, 1.0, Figure(value=0.5, low=0.5, high=0.5))
    """

    def both(drawn: np.ndarray) -> list[Mapping[str, float]]:
        return [figures(run.drawn(drawn)) for run in (one, other)]

    def change(drawn: np.ndarray) -> dict[str, float]:
        first, second = both(drawn)
        return {name: second[name] - first[name] for name in first}

    first, second = both(np.arange(len(one.cases)))
    intervals = bootstrap_intervals(change, one.patients, samples, seed)
    return {
        name: (first[name], second[name], Figure(second[name] - first[name], *(interval or (None, None))))
        for name, interval in intervals.items()
    }


def read_evaluation(folder: Path) -> Predictions:
    """What an evaluation has written.

    Args:
        folder: with `predictions.csv` and `metrics.json`.

    Raises:
        CrossDError: where they are not, or are those of an earlier version.
    """
    table, report = folder / "predictions.csv", folder / "metrics.json"
    if not table.is_file() or not report.is_file():
        raise CrossDError(f"Runs are compared by their evaluations, and there is none in {folder}. Evaluate that run.")
    about = json.loads(report.read_text(encoding="utf-8"))
    names, task = about["classes"], about["task"]
    if not task_of(task).classifies:
        return read_predictions(table, names, task)
    if "thresholds" not in about:
        raise CrossDError(f"Runs are compared by evaluations of this version, got {folder}. Evaluate that run again.")
    negative = next((i for i, name in enumerate(names) if about["positive_class"] not in (None, name)), None)
    point = OperatingPoint(task, tuple(names), negative, about["thresholds"])
    return replace(read_predictions(table, names, task), operating_point=point)


def compare(one: Path, other: Path, output_dir: Path, samples: int = 1000) -> str:
    """Compare two evaluations; `comparison.csv`, `comparison.png`, and what was found in words.

    Args:
        one, other: folders of evaluations.
        output_dir: made if need be.

    Classes are told apart by the AUROC, grades and numbers by the mean absolute error.

    Raises:
        CrossDError: unless both are of the same task, and of the same cases with the same labels and classes.
    """
    first, second = read_evaluation(one), read_evaluation(other)
    if first.task != second.task:
        raise CrossDError(
            f"Two runs of one task are compared: {one} is of {first.task}, {other} of {second.task}. Name runs that "
            "were trained with the same --task."
        )
    place = {case: row for row, case in enumerate(second.cases)}
    alike = first.class_names == second.class_names and {*first.cases} == {*place}
    if alike:
        second = second.take([place[case] for case in first.cases])
    if not alike or not torch.equal(first.targets, second.targets):
        raise CrossDError(
            f"Two runs are compared on the same cases with the same labels; {one} has "
            f"{counted(len(first.cases), 'case')} of {', '.join(first.class_names)}, {other} has "
            f"{counted(len(second.cases), 'case')} of {', '.join(second.class_names)}, and "
            f"{len({*first.cases} & {*place})} are in both. Evaluate both with the same --labels and --split."
        )
    found = differences(first, second, _figures, samples)
    output_dir.mkdir(parents=True, exist_ok=True)
    rows = [[name, a, b, change.value, change.low, change.high] for name, (a, b, change) in found.items()]
    write_table(output_dir / "comparison.csv", ["metric", "first", "second", "difference", "low", "high"], rows)
    plot_two(output_dir / "comparison.png", {"first": first, "second": second}, found)
    key = "mae" if "mae" in found else "auc"
    a, b, change = found[key]
    clear = change.low is not None and change.high is not None and (change.low > 0 or change.high < 0)
    better = (change.value > 0) == (key == "auc")
    words = f"The second run is {'better' if better else 'worse'}" if clear else "The runs are not told apart"
    lines = [
        f"{TITLES[name]:<28} {figure_text(name, a):>7} {figure_text(name, b):>7}  "
        + change.text("+.4g" if name in OWN_UNIT else "+.2f")
        for name, (a, b, change) in found.items()
    ]
    changed = change.text("+.4g") if key == "mae" else change.signed
    verdict = (
        f"{words}: {NAMES[key]} {figure_text(key, a)} and {figure_text(key, b)}, difference {changed}, on the same "
        f"{counted(len(first.cases), 'case')} of {counted(len({*first.patients}), 'patient')}."
    )
    return "\n".join([*lines, verdict])
