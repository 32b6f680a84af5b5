"""The curves and the confusion matrix of a classifier, and predicted against true numbers, as PNG files.

Drawn on matplotlib's `Figure`, not through pyplot: no display is needed and the user's own backend stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossd.cards.tasks import task_of
from crossd.evaluation.figure import Figure
from crossd.evaluation.grades import expected_grades, said_and_true
from crossd.evaluation.metrics import average_precision, calibration, class_aucs
from crossd.evaluation.predictions import Predictions
from crossd.evaluation.tables import TITLES


def plot_roc(path: Path, predictions: Predictions) -> None:
    """One curve per class against the rest; classes of which there are no cases or only cases are left out."""
    from sklearn.metrics import roc_curve

    figure, axes = _figure(1, "false positive rate", "true positive rate")
    for name, probability, target in _classes(predictions):
        false, true, cuts = roc_curve(target, probability, drop_intermediate=False)
        auc = class_aucs(probability[:, None], target[:, None])[0]
        axes[0].plot(false, true, label=f"{name} (AUROC {auc:.3f})")
        limit = predictions.point.limits.get(name)
        if limit is not None:
            at = int((cuts >= limit).sum()) - 1
            axes[0].plot(false[at], true[at], "o", color=axes[0].lines[-1].get_color(), label=f"from {limit:.3f} on")
    axes[0].plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    axes[0].legend(loc="lower right")
    figure.savefig(path)


def plot_precision_recall(path: Path, predictions: Predictions) -> None:
    """Likewise precision (PPV) against recall (sensitivity); dotted what chance reaches, the share of the class."""
    from sklearn.metrics import precision_recall_curve

    figure, axes = _figure(1, "recall (sensitivity)", "precision (PPV)")
    for name, probability, target in _classes(predictions):
        precision, recall, _ = precision_recall_curve(target, probability)
        area = average_precision(probability, target)
        (line,) = axes[0].plot(recall, precision, drawstyle="steps-post", label=f"{name} (AP {area:.3f})")
        axes[0].axhline(float(target.double().mean()), color=line.get_color(), linestyle=":")
    axes[0].set_ylim(-0.02, 1.02)
    axes[0].legend(loc="lower left")
    figure.savefig(path)


def plot_decision(path: Path, predictions: Predictions) -> None:
    """Net benefit by the threshold from which one acts, of the model and of acting on everybody or nobody.

    Source: Vickers, Elkin, "Decision curve analysis", Medical Decision Making 2006.
    """
    figure, axes = _figure(1, "threshold probability", "net benefit")
    cuts = np.linspace(0.01, 0.99, 99)
    highest = 0.0
    for name, probability, target in _classes(predictions):
        (line,) = axes[0].plot(cuts, net_benefit(probability, target, cuts), label=name)
        everybody = net_benefit(torch.ones_like(probability), target, cuts)
        axes[0].plot(cuts, everybody, color=line.get_color(), linestyle="--", label=f"all are {name}")
        highest = max(highest, float(target.double().mean()))
    axes[0].axhline(0, color="grey", linestyle=":", label="nobody")
    axes[0].set_ylim(-0.05 - 0.2 * highest, 0.05 + 1.1 * highest)
    axes[0].legend(loc="upper right")
    figure.savefig(path)


def net_benefit(probability: Tensor, target: Tensor, cuts: np.ndarray) -> np.ndarray:
    """True positives minus false positives times the odds of the threshold, per case.

    Args:
        probability, target: `(cases,)`.
        cuts: thresholds in (0, 1).

    >>> net_benefit(torch.tensor([0.9, 0.4, 0.1]), torch.tensor([1, 0, 1]), np.array([0.25, 0.5])).round(3).tolist()
    [0.222, 0.333]
    """
    yes, true = probability.numpy()[:, None] >= cuts, target.numpy()[:, None] == 1
    return ((yes & true).sum(0) - (yes & ~true).sum(0) * cuts / (1 - cuts)) / len(target)


def plot_confusion(path: Path, predictions: Predictions) -> None:
    """Counts of true (rows) against predicted classes (columns); multilabel: one such 2 x 2 table per class."""
    from sklearn.metrics import confusion_matrix

    decided, targets, names = predictions.decided, predictions.targets.long(), list(predictions.class_names)
    if predictions.task == "multilabel":
        tables = [
            (name, ["no", "yes"], confusion_matrix(targets[:, i], decided[:, i], labels=[0, 1]))
            for i, name in enumerate(names)
        ]
    else:
        tables = [("", names, confusion_matrix(targets.argmax(1), decided.argmax(1), labels=range(len(names))))]
    figure, axes = _figure(len(tables), "predicted", "true")
    for axis, (name, shown, counts) in zip(axes, tables, strict=True):
        axis.imshow(counts / counts.sum(1, keepdims=True).clip(min=1), cmap="Blues", vmin=0, vmax=1)
        axis.set_title(name)
        axis.set_xticks(range(len(shown)), shown, rotation=30, ha="right")
        axis.set_yticks(range(len(shown)), shown)
        for (row, column), count in np.ndenumerate(counts):
            axis.text(column, row, int(count), ha="center", va="center", color="black", backgroundcolor="white")
    figure.savefig(path)


def plot_calibration(path: Path, predictions: Predictions) -> None:
    """Observed rate against probability per bin, with the number of cases; on the diagonal where calibrated.

    Of two classes that exclude each other it is the probability of the positive one, of several that of the predicted
    one, and of others that of each.
    """
    p, shown = predictions, [*predictions.shown.values()]
    alone = p.task == "multilabel" or p.point.positive is not None
    names = [*p.shown] if alone else ["predicted class"]
    seen = (p.probabilities[:, shown], p.targets[:, shown], "multilabel" if alone else p.task)
    figure, axes = _figure(1, "probability", "observed rate")
    axes[0].plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
    for name, *row in zip(names, *calibration(*seen), strict=True):
        mean, rate, count = (values[row[2] > 0].tolist() for values in row)
        axes[0].plot(mean, rate, marker="o", label=name)
        for x, y, n in zip(mean, rate, count, strict=True):
            axes[0].annotate(f"{n:.0f}", (x, y), textcoords="offset points", xytext=(4, 4), fontsize="small")
    axes[0].legend(loc="upper left")
    figure.savefig(path)


def plot_two(path: Path, runs: Mapping[str, Predictions], found: Mapping[str, tuple[float, float, Figure]]) -> None:
    """Two runs in one picture: their ROC curves, or what both said of the true grades or numbers; and
    their differences with intervals.

    Args:
        runs: by name.
        found: what `crossd.evaluation.comparing.differences` returned.
    """
    from sklearn.metrics import roc_curve

    figure, axes = _figure(2, "false positive rate", "true positive rate")
    tasks = {run: task_of(one.task) for run, one in runs.items()}
    numbers = [(run, one) for run, one in runs.items() if tasks[run].ordered or not tasks[run].classifies]
    for run, predictions in numbers:
        said, true = _values(predictions)
        axes[0].plot(true, said, "o", markersize=4, alpha=0.7, label=run)
        _called(axes[0], "true grade" if tasks[run].ordered else f"true {predictions.class_names[0]}", "predicted")
    for run, predictions in [] if numbers else runs.items():
        for name, probability, target in _classes(predictions):
            false, true, _ = roc_curve(target, probability)
            axes[0].plot(false, true, label=run if len(predictions.shown) == 1 else f"{run}, {name}")
    ends = axes[0].get_xlim() if numbers else [0, 1]
    axes[0].plot(ends, ends, color="grey", linestyle=":", label="predicted as true" if numbers else "chance")
    axes[0].legend(loc="lower right")
    for row, (_, _, change) in enumerate(found.values()):
        if change.low is not None and change.high is not None:
            axes[1].plot([change.low, change.high], [row, row], color="tab:blue")
        axes[1].plot(change.value, row, "o", color="tab:blue")
    axes[1].axvline(0, color="grey", linestyle=":")
    axes[1].set_yticks(range(len(found)), [TITLES[name] for name in found])
    axes[1].invert_yaxis()
    axes[1].set(xlabel=" minus ".join(reversed([*runs])), ylabel="")
    figure.savefig(path)


def plot_values(path: Path, predictions: Predictions) -> None:
    """Predicted against true numbers; on the diagonal where they agree, dotted what always saying the mean says."""
    name, (said, true) = predictions.class_names[0], _values(predictions)
    figure, axes = _figure(1, "", "")
    both = np.concatenate([said, true])
    ends = [float(both.min()), float(both.max())]
    axes[0].plot(ends, ends, color="grey", linestyle="-", label="predicted as true")
    axes[0].axhline(float(true.mean()), color="grey", linestyle=":", label="always the mean")
    axes[0].plot(true, said, "o", markersize=4, alpha=0.7, color="tab:blue")
    _called(axes[0], f"true {name}", f"predicted {name}")
    axes[0].legend(loc="upper left")
    figure.savefig(path)


def plot_agreement(path: Path, predictions: Predictions) -> None:
    """Predicted minus true against the mean of both, with the mean difference and where 95 % of them lie.

    Source: Bland, Altman, "Statistical methods for assessing agreement", Lancet 1986.
    """
    name, (said, true) = predictions.class_names[0], _values(predictions)
    figure, axes = _figure(1, "", "")
    error = said - true
    middle, spread = float(error.mean()), 1.96 * float(error.std())
    axes[0].plot((said + true) / 2, error, "o", markersize=4, alpha=0.7, color="tab:blue")
    axes[0].axhline(middle, color="grey", label=f"mean {middle:.3g}")
    for end in (middle - spread, middle + spread):
        axes[0].axhline(end, color="grey", linestyle=":", label=f"{end:.3g}")
    _called(axes[0], f"mean of predicted and true {name}", "predicted minus true")
    axes[0].legend(loc="upper left")
    figure.savefig(path)


def _values(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """What was predicted, of grades the expected one, and what is true."""
    if task_of(predictions.task).ordered:
        return expected_grades(predictions), said_and_true(predictions)[1]
    said, true = (part[:, 0].double().numpy() for part in (predictions.probabilities, predictions.targets))
    return said, true


def _called(axis: Any, x: str, y: str) -> None:
    """Names of axes, of which a `$` is one of a table."""
    axis.set_xlabel(x, parse_math=False)
    axis.set_ylabel(y, parse_math=False)


PLOTS = {
    "roc": plot_roc,
    "precision_recall": plot_precision_recall,
    "calibration": plot_calibration,
    "decision": plot_decision,
    "confusion": plot_confusion,
}
GRADE_PLOTS = {"calibration": plot_calibration, "confusion": plot_confusion}
VALUE_PLOTS = {"scatter": plot_values, "agreement": plot_agreement}


def plots_of(task: str) -> dict[str, Any]:
    """What is drawn of a task, by name."""
    if task_of(task).ordered:
        return GRADE_PLOTS
    return PLOTS if task_of(task).classifies else VALUE_PLOTS


def write_plots(folder: Path, predictions: Predictions) -> None:
    """Write `<name>.png` for each of `plots_of`."""
    for name, plot in plots_of(predictions.task).items():
        plot(folder / f"{name}.png", predictions)


def _classes(predictions: Predictions) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, probabilities and targets of each shown class that some cases are of, and some are not."""
    for name, index in predictions.shown.items():
        target = predictions.targets[:, index].long()
        if 0 < int(target.sum()) < len(target):
            yield name, predictions.probabilities[:, index].double(), target


def _figure(panels: int, x: str, y: str) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * panels, 5), dpi=120, layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for axis in axes:
        axis.set_xlabel(x)
        axis.set_ylabel(y)
    return figure, axes
