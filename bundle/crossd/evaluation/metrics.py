"""How good the probabilities of a classifier are, and how far a metric may be off because the test set is small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics import compute_confusion_matrix_metric, compute_roc_auc, get_confusion_matrix
from monai.metrics.calibration import calibration_binning
from torch import Tensor

from crossd.errors import CrossDError

BINS = 10  # of the calibration error and its plot: 0.1 wide, few enough for the test sets of medical studies
NAN = float("nan")


@dataclass(frozen=True)
class Predictions:
    """What a classifier said of some cases, and what is true.

    Attributes:
        cases, patients, sources: one of each per case.
        probabilities, targets: `(cases, classes)`; targets are 0 or 1.
        class_names: one per class.
        task: `"multiclass"` or `"multilabel"`.
    """

    cases: Sequence[str]
    patients: Sequence[str]
    sources: Sequence[str]
    probabilities: Tensor
    targets: Tensor
    class_names: Sequence[str]
    task: str

    def answers(self, values: Tensor) -> list[str]:
        """Rows of 0 and 1 `(cases, classes)` as class names; several are joined by `;`, none is `none`."""
        said = [[name for name, one in zip(self.class_names, row, strict=True) if one] for row in values.tolist()]
        return [";".join(names) or "none" for names in said]


def class_aucs(probabilities: Tensor, targets: Tensor) -> list[float]:
    """Area under the ROC curve of each class against the rest, of probabilities and targets `(cases, classes)`.

    It is nan where all cases or none are of the class.

    >>> class_aucs(torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), torch.tensor([[1, 0], [0, 1], [0, 1]]))
    [1.0, 1.0]
    """
    aucs = []
    for probability, target in zip(probabilities.T, targets.T, strict=True):
        both = 0 < int(target.sum()) < len(target)
        aucs.append(float(compute_roc_auc(probability, target)) if both else NAN)  # type: ignore[arg-type]
    return aucs


def nan_mean(values: Sequence[float]) -> float:
    """The mean of those that are defined; nan when none is.

    >>> nan_mean([1.0, float("nan"), 0.5])
    0.75
    """
    defined = [value for value in values if value == value]
    return sum(defined) / len(defined) if defined else NAN


def predicted(probabilities: Tensor, task: str) -> Tensor:
    """What is decided, 0 or 1 `(cases, classes)`: the most probable class, or (multilabel) each class of 0.5 and more.

    >>> predicted(torch.tensor([[0.5, 0.3, 0.2]]), "multiclass").tolist()
    [[1, 0, 0]]
    """
    if task == "multilabel":
        return (probabilities >= 0.5).long()
    return torch.nn.functional.one_hot(probabilities.argmax(1), probabilities.shape[1])


def calibration(probabilities: Tensor, targets: Tensor, task: str) -> tuple[Tensor, Tensor, Tensor]:
    """Mean probability, observed rate and number of cases per bin of `1 / BINS`; nan in empty bins.

    For classes that exclude each other the probability is that of the predicted class and the rate that of its being
    right (Guo et al., "On calibration of modern neural networks", ICML 2017), one row; for multilabel there is a row
    for each class.

    Returns:
        Three tensors `(rows, BINS)`.
    """
    if task == "multilabel":
        rows, hits = probabilities.T.contiguous(), targets.T
    else:
        rows = probabilities.max(1).values[None]
        hits = targets.gather(1, probabilities.argmax(1, keepdim=True)).T
    mean, rate, count = calibration_binning(rows[None], hits[None].to(rows), num_bins=BINS)
    return mean[0], rate[0], count[0]


def classification_metrics(
    probabilities: Tensor, targets: Tensor, class_names: Sequence[str], task: str
) -> dict[str, float]:
    """All metrics of a set of cases; nan where one is not defined (a class that is missing, say).

    - `auc`, `auc_<class>`: one against the rest; `auc` is their mean over the classes that are defined.
    - `accuracy`: cases that are right; multilabel: (case, class) decisions that are right.
    - `balanced_accuracy`: mean sensitivity over the classes present; multilabel: mean (sensitivity + specificity) / 2.
    - `sensitivity_<class>`, `specificity_<class>`.
    - `calibration_error`: expected calibration error, see `calibration`; multilabel: its mean over classes.
    - `brier`: mean over cases of the squared error summed over classes (Brier 1950: 0 best, 2 worst); multilabel: mean
      squared error (0 best, 1 worst).

    Args:
        probabilities: `(cases, classes)`.
        targets: `(cases, classes)`, 0 or 1.
        class_names: one for each class.
        task: `"multiclass"` or `"multilabel"`.

    >>> values = classification_metrics(torch.tensor([[0.8, 0.2], [0.4, 0.6]]), torch.eye(2), ["a", "b"], "multiclass")
    >>> {name: round(value, 3) for name, value in values.items() if "_" not in name}
    {'auc': 1.0, 'accuracy': 1.0, 'brier': 0.2}
    """
    probabilities, targets = probabilities.double(), targets.long()
    decided = predicted(probabilities, task)
    aucs = class_aucs(probabilities, targets)
    confusion = get_confusion_matrix(decided, targets).sum(0)  # (classes, [tp, fp, tn, fn])
    sensitivity = compute_confusion_matrix_metric("sensitivity", confusion).tolist()
    specificity = compute_confusion_matrix_metric("specificity", confusion).tolist()
    squares = (probabilities - targets).square()
    if task == "multilabel":
        accuracy = (decided == targets).double().mean()
        balanced = nan_mean([(a + b) / 2 for a, b in zip(sensitivity, specificity, strict=True)])
        brier = squares.mean()
    else:
        accuracy = (decided == targets).all(1).double().mean()
        balanced = nan_mean(sensitivity)
        brier = squares.sum(1).mean()
    mean, rate, count = calibration(probabilities, targets, task)
    errors = ((mean - rate).abs() * count).nansum(1) / count.sum(1)
    metrics = {
        "auc": nan_mean(aucs),
        "balanced_accuracy": balanced,
        "accuracy": float(accuracy),
        "calibration_error": float(errors.mean()),
        "brier": float(brier),
    }
    for name, auc, a, b in zip(class_names, aucs, sensitivity, specificity, strict=True):
        metrics |= {f"auc_{name}": auc, f"sensitivity_{name}": a, f"specificity_{name}": b}
    return metrics


def majority_rate(targets: Tensor, task: str) -> float:
    """The accuracy of always giving the commonest answer; multilabel: the mean of that over classes.

    >>> majority_rate(torch.tensor([[1, 0], [1, 0], [0, 1]]), "multiclass")
    0.6666666666666666
    """
    rates = targets.double().mean(0)
    return float(torch.maximum(rates, 1 - rates).mean() if task == "multilabel" else rates.max())


def bootstrap_intervals(
    statistic: Callable[[np.ndarray], dict[str, float]],
    patients: Sequence[str],
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float] | None]:
    """95 % percentile intervals of every value that `statistic` returns.

    Patients are drawn with replacement, each with all of its cases, since the cases of one patient are alike. Draws in
    which a value is nan (a class was not drawn) say nothing about it; where they are more than half, the interval is
    None. So it is for a single patient, of whom nothing is known about others.

    Source: Efron, Tibshirani, "An introduction to the bootstrap", 1993, section 13.3.

    Args:
        statistic: from the indices of the drawn cases to named values.
        patients: patient of each case.
        samples: how many draws.
        seed: of the draws.

    Raises:
        CrossDError: for less than 100 samples.

    >>> bootstrap_intervals(lambda drawn: {"constant": 2.0}, ["a", "b"])
    {'constant': (2.0, 2.0)}
    """
    if samples < 100:
        raise CrossDError(f"A 95 % interval needs at least 100 bootstrap samples, got {samples}. Pass 1000, say.")
    members: dict[str, list[int]] = {}
    for case, patient in enumerate(patients):
        members.setdefault(patient, []).append(case)
    groups = [np.array(cases) for cases in members.values()]
    if len(groups) == 1:
        return dict.fromkeys(statistic(groups[0]))
    random = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {}
    for _ in range(samples):
        chosen = random.integers(len(groups), size=len(groups))
        for name, value in statistic(np.concatenate([groups[group] for group in chosen])).items():
            draws.setdefault(name, []).append(value)
    return {name: _percentiles(np.array(values)) for name, values in draws.items()}


def _percentiles(values: np.ndarray) -> tuple[float, float] | None:
    defined = values[~np.isnan(values)]
    if len(defined) < len(values) / 2:
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)
