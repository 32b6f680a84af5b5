"""The evaluation of a classifier on a set of cases: what is computed, and the handler that writes it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from crossd.cards.after_image import after_image
from crossd.cards.operating_point import OperatingPoint
from crossd.cards.tasks import task_of
from crossd.errors import CrossDError
from crossd.evaluation.by_patient import by_patient
from crossd.evaluation.grades import grade_report
from crossd.evaluation.intervals import with_intervals
from crossd.evaluation.metrics import majority_rate
from crossd.evaluation.plots import write_plots
from crossd.evaluation.predictions import Predictions
from crossd.evaluation.subgroups import check_column, subgroup_table
from crossd.evaluation.tables import summary, write_tables
from crossd.evaluation.values import value_report

logger = logging.getLogger(__name__)


def evaluate(
    predictions: Predictions, samples: int = 1000, seed: int = 0, prevalence: float | None = None
) -> dict[str, Any]:
    """Metrics with 95 % bootstrap intervals over patients, and what a classifier that learned nothing would reach.

    Args:
        predictions: of the cases to evaluate on.
        samples: bootstrap draws.
        seed: of the draws.
        prevalence: of the positive class where the model is to be used, for PPV and NPV there.

    Returns:
        JSON-able: `task`, `classes`, `positive_class` (of two that exclude each other), `operating_point` (in words),
        `thresholds`, `cases`, `patients`, `cases_per_class`, `majority_rate` (accuracy of always giving the commonest
        class), `chance_balanced_accuracy`, `prevalence`, and `metrics`, those of `with_intervals`. Of a regression
        `value_report` stands in the place of what is of classes, of grades `grade_report` beside it.

    Raises:
        CrossDError: when there are no cases, and for a prevalence that is none, or of no class.
    """
    p = predictions
    if not p.cases:
        raise CrossDError(
            "An evaluation needs cases, got none. Choose another --split, or give --labels that has cases in it."
        )
    positive = p.point.positive
    if prevalence is not None and (positive is None or not 0 < prevalence < 1):
        raise CrossDError(
            f"prevalence is a share between 0 and 1 of the one class that is looked for, got {prevalence} for the "
            f"classes {', '.join(p.class_names)}. Example, of a model of two classes: --prevalence 0.05."
        )
    counts = {"cases": len(p.cases), "patients": len(set(p.patients))}
    of_metrics = {
        "interval": f"95 % percentile bootstrap over patients, {samples} draws",
        "metrics": with_intervals(p, samples, seed, prevalence),
    }
    if not task_of(p.task).classifies:
        return {"task": p.task, "classes": list(p.class_names), **counts, **value_report(p), **of_metrics}
    return {
        "task": p.task,
        "classes": list(p.class_names),
        "positive_class": None if positive is None else p.class_names[positive],
        "operating_point": p.point.words,
        "thresholds": dict(p.point.thresholds or {}),
        **counts,
        "cases_per_class": dict(zip(p.class_names, p.targets.sum(0).long().tolist(), strict=True)),
        "majority_rate": majority_rate(p.targets, p.task),
        "chance_balanced_accuracy": 0.5 if p.task == "multilabel" else 1 / len(p.class_names),
        "prevalence": prevalence,
        **(grade_report(p) if task_of(p.task).ordered else {}),
        **of_metrics,
    }


class EvaluationReport:
    """Writes `metrics.json`, `metrics.csv`, `predictions.csv`, and a picture for each of `crossd.evaluation.plots`.

    The engine's output holds for each case `pred`, its probabilities `(classes,)`, and `label`, 0 or 1 `(classes,)`;
    the batch holds `case`, `patient` and `source`, where known.

    Args:
        output_dir: where to write; made if need be.
        class_names: one per class.
        task: of `crossd.cards.tasks.TASKS`; of a regression `pred` and `label` are values `(1,)`.
        about: further entries of `metrics.json`, what was evaluated on what.
        samples, seed: of the bootstrap, see `evaluate`.
        card: of the model, whose operating point decides; None: the most probable class. What it takes beside the
            image is in the `columns` of cases.
        prevalence: see `evaluate`.
        cases: items by whose `columns` groups are made.
        by: columns for which `subgroups.csv` is written, see `subgroup_table`.
    """

    def __init__(
        self,
        output_dir: str,
        class_names: Sequence[str],
        task: str,
        about: dict[str, Any] | None = None,
        samples: int = 1000,
        seed: int = 0,
        card: Mapping[str, Any] | None = None,
        prevalence: float | None = None,
        cases: Sequence[Mapping[str, Any]] = (),
        by: Sequence[str] | None = None,
    ) -> None:
        if output_dir is None:
            raise CrossDError("An evaluation needs a folder for its report, got none. Pass --output_dir DIR.")
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.task = task
        self.about = about or {}
        self.samples = samples
        self.seed = seed
        self.point = OperatingPoint.of({**(card or {}), "class_names": self.class_names, "task": task})
        self.after = after_image({**(card or {}), "task": task, "class_names": self.class_names})
        self.prevalence = prevalence
        self.cases = cases
        self.by = by or []
        for column in self.by:
            check_column((item.get("columns", {}) for item in cases), column)
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
        if self.after is not None:
            rows = self._columns(cases)
            probabilities = tuple(self.after(*one) for one in zip(probabilities, rows, strict=True))
        predictions = Predictions(
            *(cases, patients, sources, torch.stack(probabilities), torch.stack(targets)),
            *(self.class_names, self.task, self.point),
            self._columns(cases),
        )
        report = {**self.about, **evaluate(predictions, self.samples, self.seed, self.prevalence)}
        tables = {column: subgroup_table(predictions, column, self.samples, self.seed) for column in self.by}
        report |= {"subgroups": tables} if tables else {}
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self.write(report, predictions)
        logger.info("%s\nwritten to %s", summary(report), self.output_dir)
        write_by_patient(self.output_dir / "by_patient", predictions, self.samples, self.seed)

    def _columns(self, names: Sequence[str]) -> list[Mapping[str, str]]:
        known = {str(item.get("case")): item.get("columns", {}) for item in self.cases}
        return [known.get(name, {}) for name in names]

    def write(self, report: Mapping[str, Any], predictions: Predictions) -> None:
        """Write what was found; the folder is there."""
        write_tables(self.output_dir, report, predictions)
        write_plots(self.output_dir, predictions)


def write_by_patient(folder: Path, predictions: Predictions, samples: int = 1000, seed: int = 0) -> None:
    """Where patients have several scans of one label, write the tables of `by_patient`'s rows into a folder."""
    joined = by_patient(predictions)
    if joined is not None:
        folder.mkdir(parents=True, exist_ok=True)
        report = evaluate(joined, samples, seed)
        write_tables(folder, report, joined)
        logger.info("by patient, the mean of the probabilities of all scans:\n%s", summary(report))
