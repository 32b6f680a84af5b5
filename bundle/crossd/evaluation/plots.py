"""ROC curves, the confusion matrix and the calibration of a classifier as PNG files.

Drawn on matplotlib's `Figure`, not through pyplot: no display is needed and the user's own backend stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crossd.evaluation.metrics import Predictions, calibration, class_aucs, predicted


def roc_points(probability: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """False and true positive rates `(points,)` at every threshold, from (0, 0) to (1, 1).

    Equal probabilities are one step, so the area under the line is the AUC.

    Args:
        probability, target: `(cases,)`; both 0 and 1 are among the targets.

    >>> false, true = roc_points(torch.tensor([0.9, 0.8, 0.8, 0.1]), torch.tensor([1, 0, 1, 0]))
    >>> false.tolist(), true.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    order = probability.argsort(descending=True)
    probability, target = probability[order], target[order].double()
    last = torch.cat([probability[1:] != probability[:-1], torch.tensor([True])])
    zero = torch.zeros(1, dtype=torch.float64)
    true = torch.cat([zero, target.cumsum(0)[last] / target.sum()])
    false = torch.cat([zero, (1 - target).cumsum(0)[last] / (1 - target).sum()])
    return false, true


def plot_roc(path: Path, predictions: Predictions) -> None:
    """One curve per class against the rest; classes of which there are no cases or only cases are left out."""
    figure, axes = _figure(1, "false positive rate", "true positive rate")
    aucs = class_aucs(predictions.probabilities, predictions.targets)
    for index, (name, auc) in enumerate(zip(predictions.class_names, aucs, strict=True)):
        if auc == auc:
            false, true = roc_points(predictions.probabilities[:, index], predictions.targets[:, index])
            axes[0].plot(false.tolist(), true.tolist(), label=f"{name} (AUC {auc:.3f})")
    axes[0].plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    axes[0].legend(loc="lower right")
    figure.savefig(path)


def plot_confusion(path: Path, predictions: Predictions) -> None:
    """Counts of true (rows) against predicted classes (columns); multilabel: one such 2 x 2 table per class."""
    decided = predicted(predictions.probabilities, predictions.task)
    targets = predictions.targets.long()
    if predictions.task == "multilabel":
        tables = [
            (name, ["no", "yes"], _counts(targets[:, i], decided[:, i], 2))
            for i, name in enumerate(predictions.class_names)
        ]
    else:
        names = list(predictions.class_names)
        tables = [("", names, _counts(targets.argmax(1), decided.argmax(1), len(names)))]
    figure, axes = _figure(len(tables), "predicted", "true")
    for axis, (title, names, counts) in zip(axes, tables, strict=True):
        axis.imshow((counts / counts.sum(1, keepdim=True).clamp(min=1)).tolist(), cmap="Blues", vmin=0, vmax=1)
        axis.set_title(title)
        axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axis.set_yticks(range(len(names)), names)
        for row, column in torch.cartesian_prod(torch.arange(len(names)), torch.arange(len(names))).tolist():
            axis.text(
                column, row, int(counts[row, column]), ha="center", va="center", color="black", backgroundcolor="white"
            )
    figure.savefig(path)


def plot_calibration(path: Path, predictions: Predictions) -> None:
    """Observed rate against probability per bin, with the number of cases; on the diagonal where calibrated."""
    mean, rate, count = calibration(predictions.probabilities, predictions.targets, predictions.task)
    names: Sequence[str] = predictions.class_names if predictions.task == "multilabel" else ["predicted class"]
    figure, axes = _figure(1, "probability", "observed rate")
    axes[0].plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
    for row, name in enumerate(names):
        filled = count[row] > 0
        axes[0].plot(mean[row][filled].tolist(), rate[row][filled].tolist(), marker="o", label=name)
        for x, y, n in zip(
            mean[row][filled].tolist(), rate[row][filled].tolist(), count[row][filled].tolist(), strict=True
        ):
            axes[0].annotate(f"{n:.0f}", (x, y), textcoords="offset points", xytext=(4, 4), fontsize="small")
    axes[0].legend(loc="upper left")
    figure.savefig(path)


def _counts(rows: Tensor, columns: Tensor, size: int) -> Tensor:
    """How often each pair of indices occurs `(size, size)`."""
    return torch.bincount(rows * size + columns, minlength=size * size).reshape(size, size)


def _figure(panels: int, x: str, y: str) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * panels, 5), dpi=120, layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for axis in axes:
        axis.set_xlabel(x)
        axis.set_ylabel(y)
    return figure, axes
