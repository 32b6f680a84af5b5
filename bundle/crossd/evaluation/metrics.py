"""How good the probabilities of a classifier are, and how far a metric may be off because the test set is small."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.metrics import compute_confusion_matrix_metric, compute_roc_auc, get_confusion_matrix
from monai.metrics.calibration import calibration_binning
from torch import Tensor

from crossd.evaluation.predictions import Predictions

BINS = 10  # of the calibration error and its plot: 0.1 wide, few enough for the test sets of medical studies
NAN = float("nan")
COUNTED = {  # of MONAI, by our name
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "precision",
    "npv": "negative predictive value",
    "f1": "f1 score",
}


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


def average_precision(probability: Tensor, target: Tensor) -> float:
    """Area under the precision-recall curve by steps, of `(cases,)`; nan without a positive case.

    That of scikit-learn, in a twentieth of the time, for it is computed in every draw of the bootstrap.

    >>> average_precision(torch.tensor([0.9, 0.8, 0.8, 0.1]), torch.tensor([1, 0, 1, 0]))
    0.8333333333333333
    """
    if not target.sum():
        return NAN
    values, place = probability.unique(return_inverse=True)
    counts = [torch.bincount(place, of, len(values)).flip(0).cumsum(0) for of in (target.double(), None)]
    recall = counts[0] / counts[0][-1]
    return float((recall.diff(prepend=recall.new_zeros(1)) * counts[0] / counts[1]).sum())


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


def calibration_error(probabilities: Tensor, targets: Tensor, task: str) -> float:
    """The expected calibration error, see `calibration`; multilabel: its mean over classes."""
    mean, rate, count = calibration(probabilities, targets.long(), task)
    return float((((mean - rate).abs() * count).nansum(1) / count.sum(1)).mean())


def negative_log_likelihood(probabilities: Tensor, targets: Tensor, task: str) -> float:
    """Mean over cases of `-log p` of the true class; multilabel: mean binary cross-entropy.

    Probabilities are held at 1e-7 and more, so that one certain error does not make it infinite.
    """
    probabilities = probabilities.double().clamp(1e-7, 1 - 1e-7)
    right = targets * probabilities.log()
    if task == "multilabel":
        return float(-(right + (1 - targets) * (1 - probabilities).log()).mean())
    return float(-right.sum(1).mean())


def classification_metrics(predictions: Predictions, prevalence: float | None = None) -> dict[str, float]:
    """All metrics of a set of cases; nan where one is not defined (a class that is missing, say).

    Names and definitions are those of Metrics Reloaded (Maier-Hein et al., Nature Methods 2024). What is decided
    follows the operating point. Of two classes that exclude each other figures are those of the positive class, under
    the plain name; of others there are those of each class against the rest, `<name>_<class>`, and of `auc`,
    `average_precision` and `f1` their mean over the classes that are defined.

    - `auc` (AUROC), `average_precision`; `sensitivity`, `specificity`, `ppv`, `npv`, `f1`; with a prevalence
      `ppv_at_prevalence` and `npv_at_prevalence`, by Bayes' rule; of classes that exclude each other and are more than
      two, `sensitivity_at_threshold_<class>` and `specificity_at_threshold_<class>` where there are thresholds.
    - `balanced_accuracy`: mean sensitivity over the classes present; multilabel: mean (sensitivity + specificity) / 2.
    - `accuracy`: cases that are right; multilabel: (case, class) decisions that are right.
    - `mcc`: Matthews correlation coefficient, of several classes by Gorodkin 2004; multilabel: mean over classes.
    - `calibration_error`: expected calibration error, see `calibration_error`.
    - `brier`: mean over cases of the squared error summed over classes (Brier 1950: 0 best, 2 worst); multilabel: mean
      squared error (0 best, 1 worst).
    - `loss`: `negative_log_likelihood`.

    >>> said = torch.tensor([[0.8, 0.2], [0.4, 0.6]])
    >>> values = classification_metrics(Predictions.of(said, torch.eye(2), ["a", "b"], "multiclass"))
    >>> {name: round(values[name], 3) for name in ("auc", "sensitivity", "brier")}
    {'auc': 1.0, 'sensitivity': 1.0, 'brier': 0.2}
    """
    p, task, several = predictions, predictions.task, predictions.task == "multilabel"
    probabilities, targets, decided, shown = p.probabilities.double(), p.targets.long(), p.decided, [*p.shown.values()]
    seen = probabilities[:, shown], targets[:, shown]
    confusion = get_confusion_matrix(decided[:, shown], seen[1]).sum(0)  # (classes, [tp, fp, tn, fn])
    by_class = {
        "auc": class_aucs(*seen),
        "average_precision": [average_precision(*pair) for pair in zip(*(part.T for part in seen), strict=True)],
        **{name: compute_confusion_matrix_metric(of, confusion).tolist() for name, of in COUNTED.items()},
    }
    both = [*zip(by_class["sensitivity"], by_class["specificity"], strict=True)]
    if prevalence is not None:
        values = [_at_prevalence(a, b, prevalence) for a, b in both]
        by_class |= {"ppv_at_prevalence": [a for a, _ in values], "npv_at_prevalence": [b for _, b in values]}
    alone = p.point.positive is not None
    halves = [(a + b) / 2 for a, b in both] if several else both[0] if alone else by_class["sensitivity"]
    right, squares = decided == targets, (probabilities - targets).square()
    found = {
        "balanced_accuracy": nan_mean(halves),
        "accuracy": float((right if several else right.all(1)).double().mean()),
        "mcc": _matthews(decided.double(), targets.double(), several),
        "calibration_error": calibration_error(probabilities, targets, task),
        "brier": float(squares.mean() if several else squares.sum(1).mean()),
        "loss": negative_log_likelihood(probabilities, targets, task),
    }
    if alone:
        return {**{name: values[0] for name, values in by_class.items()}, **found}
    found = {**{name: nan_mean(by_class[name]) for name in ("auc", "average_precision", "f1")}, **found}
    for index, name in enumerate(p.shown):
        found |= {f"{of}_{name}": values[index] for of, values in by_class.items()}
        limit = None if several else (p.point.thresholds or {}).get(name)
        if limit is not None:
            yes, true = probabilities[:, index] >= limit, targets[:, index] == 1
            found[f"sensitivity_at_threshold_{name}"] = float(yes[true].double().mean())
            found[f"specificity_at_threshold_{name}"] = float((~yes[~true]).double().mean())
    return found


def _at_prevalence(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    """PPV and NPV by Bayes' rule."""
    true, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    without, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return true / (true + false) if true + false else NAN, without / (without + missed) if without + missed else NAN


def _matthews(decided: Tensor, targets: Tensor, several: bool) -> float:
    """The correlation of answers and truth `(cases, classes)`, all columns together or each by itself; 0 where one of
    them is always the same, as scikit-learn has it."""
    if several:
        return nan_mean([_matthews(a[:, None], b[:, None], False) for a, b in zip(decided.T, targets.T, strict=True)])
    a, b = decided - decided.mean(0), targets - targets.mean(0)
    size = float((a.square().sum() * b.square().sum()).sqrt())
    return float((a * b).sum()) / size if size > 1e-12 else 0.0


def majority_rate(targets: Tensor, task: str) -> float:
    """The accuracy of always giving the commonest answer; multilabel: the mean of that over classes.

    >>> majority_rate(torch.tensor([[1, 0], [1, 0], [0, 1]]), "multiclass")
    0.6666666666666666
    """
    rates = targets.double().mean(0)
    return float(torch.maximum(rates, 1 - rates).mean() if task == "multilabel" else rates.max())
