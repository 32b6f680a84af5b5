"""The handler that evaluates: it collects what the evaluator says of each case and writes the report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from crossd.errors import CrossDError
from crossd.evaluation.evaluating import Predictions, evaluate, summary, write_tables
from crossd.evaluation.plots import plot_calibration, plot_confusion, plot_roc

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
        """Register with the evaluator; MONAI calls this."""
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
