"""The tables of an evaluation, and what its figures are called."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from crossd.cards.tasks import task_of
from crossd.data.class_counts import FEW
from crossd.data.delimited import read_table, write_table
from crossd.errors import counted
from crossd.evaluation.predictions import Predictions
from crossd.evaluation.values import figure_text
from crossd.files import write_whole

TITLES = {
    "quadratic_kappa": "Quadratic weighted kappa",
    "auc": "AUROC",
    "average_precision": "Average precision",
    "sensitivity": "Sensitivity (recall)",
    "specificity": "Specificity",
    "ppv": "PPV (precision)",
    "npv": "NPV",
    "f1": "F1 score",
    "ppv_at_prevalence": "PPV at that prevalence",
    "auc_within_folds": "AUROC within folds",
    "npv_at_prevalence": "NPV at that prevalence",
    "sensitivity_at_threshold": "Sensitivity at its threshold",
    "specificity_at_threshold": "Specificity at its threshold",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "mcc": "Matthews correlation (MCC)",
    "calibration_error": "Expected calibration error (ECE)",
    "brier": "Brier score",
    "loss": "Negative log-likelihood",
    "majority_rate": "Accuracy of always the commonest class",
    "chance_balanced_accuracy": "Balanced accuracy of chance",
    "r2": "R², share of the variance that is told",
    "mae": "Mean absolute error (MAE)",
    "rmse": "Root mean squared error (RMSE)",
    "bias": "Bias, mean of predicted minus true",
    "spearman": "Spearman's rank correlation",
    "mae_of_mean": "MAE of always the mean",
    "mae_of_median": "MAE of always the median grade",
}
BESIDE = {  # of what learned nothing, by what the log calls it
    "majority_rate": "majority-class rate",
    "chance_balanced_accuracy": "chance of balanced accuracy",
    "mae_of_mean": "MAE of always the mean",
    "mae_of_median": "MAE of always the median grade",
}
"""What figures are called on pages."""


ENTRY = ("value", "low", "high")  # what there is of a figure


def write_tables(folder: Path, report: Mapping[str, Any], predictions: Predictions) -> None:
    """Write `metrics.json`, `metrics.csv` and `predictions.csv` of what `evaluate` returned and was given."""
    write_whole(folder / "metrics.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    beside = [(name, {"value": report[name]}) for name in BESIDE if name in report]
    figures = [*report["metrics"].items(), *beside]
    rows = [[name, *(entry.get(of) for of in ("value", "low", "high"))] for name, entry in figures]
    write_table(folder / "metrics.csv", ["metric", "value", "low", "high"], rows)
    groups = [[column, *group_row(entry)] for column, rows in report.get("subgroups", {}).items() for entry in rows]
    if groups:
        names = [name for name in groups_named(report) for name in (name, f"{name}_low", f"{name}_high")]
        write_table(folder / "subgroups.csv", ["column", "group", "cases", "patients", "few", *names], groups)
    p = predictions
    if not task_of(p.task).classifies:
        true, values = ([f"{value:.7g}" for value in part[:, 0].tolist()] for part in (p.targets, p.probabilities))
        rows_of_values = zip(p.cases, p.sources, p.patients, true, values, strict=True)
        write_table(folder / "predictions.csv", ["case", "source", "patient", "label", "predicted"], rows_of_values)
        return
    said = zip(p.cases, p.sources, p.patients, p.answers(p.targets), p.answers(p.decided), strict=True)
    chances = [[f"{probability:.6f}" for probability in case] for case in p.probabilities.tolist()]
    header = ["case", "source", "patient", "label", "predicted", *(f"probability_{name}" for name in p.class_names)]
    write_table(folder / "predictions.csv", header, [[*row, *of] for row, of in zip(said, chances, strict=True)])


def read_predictions(path: Path, class_names: Sequence[str], task: str) -> Predictions:
    """What a `predictions.csv` of an evaluation holds."""
    if not task_of(task).classifies:
        rows = read_table(path, needed=["label", "predicted"]).rows
        cases, patients, sources = ([row[column] for row in rows] for column in ("case", "patient", "source"))
        numbers = torch.tensor([[float(row[of]) for of in ("predicted", "label")] for row in rows], dtype=torch.float64)
        return Predictions(cases, patients, sources, numbers[:, :1], numbers[:, 1:], list(class_names), task)
    rows = read_table(path, needed=[f"probability_{name}" for name in class_names]).rows
    values = [[float(row[f"probability_{name}"]) for name in class_names] for row in rows]
    said = [[row["label"]] if task_of(task).exclusive else row["label"].split(";") for row in rows]
    cases, patients, sources = ([row[column] for row in rows] for column in ("case", "patient", "source"))
    targets = torch.tensor([[int(name in labels) for name in class_names] for labels in said])
    chances = torch.tensor(values, dtype=torch.float64)
    return Predictions(cases, patients, sources, chances, targets, list(class_names), task)


def groups_named(report: Mapping[str, Any]) -> list[str]:
    """The figures of subgroups."""
    entry = next(iter(report["subgroups"].values()))[0]
    return [name for name, value in entry.items() if isinstance(value, dict)]


def group_row(entry: Mapping[str, Any]) -> list[Any]:
    """Of one of `subgroup_table` the cells of `subgroups.csv`."""
    figures = [value.get(of) for value in entry.values() if isinstance(value, dict) for of in ("value", "low", "high")]
    return [entry["group"], entry["cases"], entry["patients"], "; ".join(entry["few"]), *figures]


def summary(report: Mapping[str, Any]) -> str:
    """The report as a table of text.

    >>> metrics = {"auc": {"value": 0.9, "low": 0.8, "high": 0.95}}
    >>> report = {"cases": 10, "patients": 8, "majority_rate": 0.6, "chance_balanced_accuracy": 0.5, "metrics": metrics}
    >>> print(summary(report))
    10 cases of 8 patients
    auc                            0.900  (95 % 0.800 to 0.950)
    majority-class rate            0.600
    chance of balanced accuracy    0.500
    """
    lines = [f"{counted(report['cases'], 'case')} of {counted(report['patients'], 'patient')}"]
    if report.get("positive_class") is not None:
        lines.append(f"positive: {report['positive_class']}; said: {report['operating_point']}")
    for name, entry in report["metrics"].items():
        value, low, high = (None if entry[of] is None else figure_text(name, entry[of]) for of in ENTRY)
        interval = "" if low is None else f"  (95 % {low} to {high})"
        lines.append(f"{name:<30} {'not defined' if value is None else value}{interval}")
    lines += [f"{words:<30} {figure_text(name, report[name])}" for name, words in BESIDE.items() if name in report]
    few = [f"{name!r} ({count})" for name, count in report.get("cases_per_class", {}).items() if count < FEW]
    if few:
        lines.append(f"fewer than {FEW} cases of {', '.join(few)}: their figures say little")
    return "\n".join(lines)
