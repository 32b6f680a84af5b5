"""The metrics of the paper's Table I, over all processes, and the table of a run's epochs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from ignite.metrics import ConfusionMatrix, Loss, Metric, MetricsLambda
from torch import Tensor, nn
from torch.optim import Optimizer

from crossd.files import write_whole
from crossd.processes import rank
from crossd.training.curves import loss_of
from crossd.training.epoch_score import epoch_score
from crossd.training.run_files import write_epoch


def table_one(confusion: Tensor) -> dict[str, float]:
    """Macro precision, recall and F1, balanced and plain accuracy, of counts `(true class, predicted class)`.

    Means are over the classes of which there are images. A class that is never predicted has precision 0, and so F1 0.
    Balanced accuracy is macro recall, as in the paper's Table I.

    >>> table_one(torch.tensor([[3, 1], [0, 4]]))["balanced_accuracy"]
    0.875
    """
    counts = confusion.double()
    there = counts.sum(1) > 0
    right = counts.diagonal()
    precision = right / counts.sum(0).clamp(min=1)
    recall = right / counts.sum(1).clamp(min=1)
    f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
    values = {
        "balanced_accuracy": recall[there].mean(),
        "accuracy": right.sum() / counts.sum(),
        "precision": precision[there].mean(),
        "recall": recall[there].mean(),
        "f1": f1[there].mean(),
    }
    return {name: float(value) for name, value in values.items()}


def image_metrics(num_classes: int) -> dict[str, Metric]:
    """ignite metrics of logits `(batch, classes)` against labels `(batch,)`, summed over all processes.

    Returns:
        `val_balanced_accuracy`, `val_accuracy`, `val_precision`, `val_recall`, `val_f1` and `val_loss` (cross-entropy).
        They expect the engine's output to be a dictionary with `pred` and `label`.
    """
    confusion = ConfusionMatrix(num_classes, output_transform=_pred_and_label)
    metrics: dict[str, Metric] = {
        f"val_{name}": MetricsLambda(_picker(name), confusion) for name in table_one(torch.eye(2))
    }
    metrics["val_loss"] = Loss(nn.CrossEntropyLoss(), output_transform=_pred_and_label)
    return metrics


def _pred_and_label(output: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    return output["pred"].detach(), output["label"]


def _picker(name: str) -> Callable[[Tensor], float]:
    return lambda confusion: table_one(confusion)[name]


class LossBar(ProgressBar):
    """ignite's progress bar of an epoch, with the loss."""

    def attach(self, engine: Engine) -> None:  # type: ignore[override]
        """Register with the trainer of the first process; MONAI calls this."""
        if rank() == 0:
            super().attach(engine, output_transform=lambda output: {"loss": float(output["loss"].detach())})


class EpochTable:
    """Handler that writes `metrics.csv`, a row per validated epoch, and `metrics.json`, the best of them: that
    of `model.pt`, by `epoch_score`.

    Attach it before `TrainingProgress`: what is written of an epoch that is trained again after a kill is replaced.

    Args:
        evaluator: the validation engine; its metrics hold `score` and `val_loss`.
        optimizer: of its parameter groups the first says the learning rate.
        score: the metric that the best epoch has most of.
        about: further entries of `metrics.json`.
    """

    def __init__(
        self, output_dir: str, evaluator: Engine, optimizer: Optimizer, score: str, about: Mapping[str, Any]
    ) -> None:
        self.folder = Path(output_dir)
        self.evaluator = evaluator
        self.optimizer = optimizer
        self.score = score
        self.about = dict(about)
        self._losses: list[float] = []
        self._rate = 0.0

    def attach(self, engine: Engine) -> None:
        """Register with the trainer of the first process; MONAI calls this."""
        if rank() != 0:
            return
        engine.add_event_handler(Events.EPOCH_STARTED, self._started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _started(self, _: Engine) -> None:
        self._losses.clear()
        self._rate = self.optimizer.param_groups[0]["lr"]

    def _collect(self, engine: Any) -> None:
        self._losses.append(loss_of(engine.state.output))

    def _write(self, engine: Engine) -> None:
        if self.evaluator.state.epoch != engine.state.epoch:
            return
        loss = sum(self._losses) / max(len(self._losses), 1)
        values = {name: float(value) for name, value in self.evaluator.state.metrics.items()}
        row = {"epoch": engine.state.epoch, "learning_rate": self._rate, "train_loss": loss, **values}
        rows = write_epoch(self.folder / "metrics.csv", row)
        best = max(rows, key=lambda row: epoch_score(row, self.score))
        numbers = {name: float(value) for name, value in best.items() if name != "epoch"}
        report = {**self.about, "best_epoch": int(best["epoch"]), "epochs": engine.state.epoch, "metrics": numbers}
        write_whole(self.folder / "metrics.json", json.dumps(report, indent=2) + "\n")
