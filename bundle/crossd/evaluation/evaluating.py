"""The evaluation of a classifier on a set of cases: what is computed, its tables, and the handler that writes them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from crossd.data.class_counts import FEW
from crossd.data.delimited import write_table
from crossd.errors import CrossDError, counted
from crossd.evaluation.by_patient import by_patient
from crossd.evaluation.metrics import Predictions, bootstrap_intervals, classification_metrics, majority_rate, predicted
from crossd.evaluation.plots import plot_calibration, plot_confusion, plot_roc
from crossd.files import write_whole


def evaluate(predictions: Predictions, samples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Metrics with 95 % bootstrap intervals over patients, and what a classifier that learned nothing would reach.

    Args:
        predictions: of the cases to evaluate on.
        samples: bootstrap draws.
        seed: of the draws.

    Returns:
        JSON-able: `task`, `classes`, `cases`, `patients`, `cases_per_class`, `majority_rate` (accuracy of always giving
        the commonest class), `chance_balanced_accuracy`, and `metrics`: for each of `classification_metrics` its
        `value`, `low` and `high`, None where it is not defined.

    Raises:
        CrossDError: when there are no cases.
    """
    p = predictions
    if not p.cases:
        raise CrossDError(
            "An evaluation needs cases, got none. Choose another --split, or give --labels that has cases in it."
        )
    values = classification_metrics(p.probabilities, p.targets, p.class_names, p.task)
    intervals = bootstrap_intervals(
        lambda drawn: classification_metrics(p.probabilities[drawn], p.targets[drawn], p.class_names, p.task),
        p.patients,
        samples,
        seed,
    )
    metrics = {}
    single = _of_one_patient(p)
    for name, value in values.items():
        low, high = (None, None) if np.isnan(value) or name in single else intervals[name] or (None, None)
        metrics[name] = {"value": None if np.isnan(value) else value, "low": low, "high": high}
    return {
        "task": p.task,
        "classes": list(p.class_names),
        "cases": len(p.cases),
        "patients": len(set(p.patients)),
        "cases_per_class": dict(zip(p.class_names, p.targets.sum(0).long().tolist(), strict=True)),
        "majority_rate": majority_rate(p.targets, p.task),
        "chance_balanced_accuracy": 0.5 if p.task == "multilabel" else 1 / len(p.class_names),
        "interval": f"95 % percentile bootstrap over patients, {samples} draws",
        "metrics": metrics,
    }


def _of_one_patient(predictions: Predictions) -> set[str]:
    """The metrics of classes that rest on one patient with the class, or without it: their intervals say nothing."""
    found = set()
    for name, target in zip(predictions.class_names, predictions.targets.T, strict=True):
        with_it, without = (
            len({patient for patient, one in zip(predictions.patients, target.tolist(), strict=True) if one == wanted})
            for wanted in (1, 0)
        )
        found |= {f"sensitivity_{name}"} if with_it < 2 else set()
        found |= {f"specificity_{name}"} if without < 2 else set()
        found |= {f"auc_{name}"} if min(with_it, without) < 2 else set()
    return found


def write_tables(folder: Path, report: dict[str, Any], predictions: Predictions) -> None:
    """Write `metrics.json`, `metrics.csv` and `predictions.csv` of what `evaluate` returned and was given."""
    write_whole(folder / "metrics.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    beside = [("majority_rate", {"value": report["majority_rate"]})]
    beside += [("chance_balanced_accuracy", {"value": report["chance_balanced_accuracy"]})]
    figures = [*report["metrics"].items(), *beside]
    rows = [[name, *(entry.get(of) for of in ("value", "low", "high"))] for name, entry in figures]
    write_table(folder / "metrics.csv", ["metric", "value", "low", "high"], rows)
    p = predictions
    decided = p.answers(predicted(p.probabilities, p.task))
    said = zip(p.cases, p.sources, p.patients, p.answers(p.targets), decided, strict=True)
    chances = [[f"{probability:.6f}" for probability in case] for case in p.probabilities.tolist()]
    header = ["case", "source", "patient", "label", "predicted", *(f"probability_{name}" for name in p.class_names)]
    write_table(folder / "predictions.csv", header, [[*row, *of] for row, of in zip(said, chances, strict=True)])


def summary(report: dict[str, Any]) -> str:
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
    for name, entry in report["metrics"].items():
        value = "not defined" if entry["value"] is None else f"{entry['value']:.3f}"
        interval = "" if entry["low"] is None else f"  (95 % {entry['low']:.3f} to {entry['high']:.3f})"
        lines.append(f"{name:<30} {value}{interval}")
    lines.append(f"{'majority-class rate':<30} {report['majority_rate']:.3f}")
    lines.append(f"{'chance of balanced accuracy':<30} {report['chance_balanced_accuracy']:.3f}")
    few = [f"{name!r} ({count})" for name, count in report.get("cases_per_class", {}).items() if count < FEW]
    if few:
        lines.append(f"fewer than {FEW} cases of {', '.join(few)}: their figures say little")
    return "\n".join(lines)


logger = logging.getLogger(__name__)


class EvaluationReport:
    """Writes `metrics.json`, `metrics.csv`, `predictions.csv`, `roc.png`, `confusion.png` and `calibration.png`.

    The engine's output holds for each case `pred`, its probabilities `(classes,)`, and `label`, 0 or 1 `(classes,)`;
    the batch holds `case`, `patient` and `source`, where known.

    Args:
        output_dir: where to write; made if need be.
        class_names: one per class.
        task: `"multiclass"` or `"multilabel"`.
        about: further entries of `metrics.json`, what was evaluated on what.
        samples, seed: of the bootstrap, see `evaluate`.
    """

    def __init__(
        self,
        output_dir: str,
        class_names: Sequence[str],
        task: str,
        about: dict[str, Any] | None = None,
        samples: int = 1000,
        seed: int = 0,
    ) -> None:
        if output_dir is None:
            raise CrossDError("An evaluation needs a folder for its report, got none. Pass --output_dir DIR.")
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.task = task
        self.about = about or {}
        self.samples = samples
        self.seed = seed
        self._rows: list[tuple[str, str, str, torch.Tensor, torch.Tensor]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, lambda _: self._rows.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Any) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            case = str(item.get("case", len(self._rows)))
            probabilities, target = (torch.as_tensor(output[key]).detach().cpu() for key in ("pred", "label"))
            source = str(item.get("source", ""))
            self._rows.append((case, str(item.get("patient", case)), source, probabilities, target))

    def _write(self, engine: Engine) -> None:
        cases, patients, sources, probabilities, targets = zip(*self._rows, strict=True)
        predictions = Predictions(
            cases, patients, sources, torch.stack(probabilities), torch.stack(targets), self.class_names, self.task
        )
        report = {**self.about, **evaluate(predictions, self.samples, self.seed)}
        self.output_dir.mkdir(parents=True, exist_ok=True)
        write_tables(self.output_dir, report, predictions)
        plot_roc(self.output_dir / "roc.png", predictions)
        plot_confusion(self.output_dir / "confusion.png", predictions)
        plot_calibration(self.output_dir / "calibration.png", predictions)
        logger.info("%s\nwritten to %s", summary(report), self.output_dir)
        write_by_patient(self.output_dir / "by_patient", predictions, self.samples, self.seed)


def write_by_patient(folder: Path, predictions: Predictions, samples: int = 1000, seed: int = 0) -> None:
    """Where patients have several scans of one label, write the tables of `by_patient`'s rows into a folder."""
    joined = by_patient(predictions)
    if joined is not None:
        folder.mkdir(parents=True, exist_ok=True)
        report = evaluate(joined, samples, seed)
        write_tables(folder, report, joined)
        logger.info("by patient, the mean of the probabilities of all scans:\n%s", summary(report))
