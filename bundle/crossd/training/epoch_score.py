"""Which epoch is the better one: by a validation metric, of which most is best, or of an error least."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from crossd.cards.tasks import task_of

TIE = 1e-9  # a loss is at most 16 (probabilities are held at 1e-7), a step of the AUC 4e-8 for 5000 cases per class


def epoch_score(metrics: Mapping[str, Any], score: str) -> float:
    """What the best epoch has most of, of a validation's metrics, numbers or text; of equal ones the first is the best.

    Of a mean absolute error, "…_mae", it is minus that. Epochs of an equal metric (small validation sets soon reach 1)
    are told apart by the lower `val_loss`; where it is not a number (an AUC of one class), only the loss counts.

    >>> low, high = ({"val_auc": 0.9, "val_loss": loss} for loss in (0.1, 2))
    >>> epoch_score(low, "val_auc") > epoch_score(high, "val_auc")
    True
    >>> epoch_score({"val_auc": "nan", "val_loss": "0.5"}, "val_auc"), epoch_score({"val_mae": 2.0}, "val_mae")
    (-0.5, -2.0)
    """
    if is_error(score):
        return -float(metrics[score])
    value, loss = float(metrics[score]), float(metrics["val_loss"])
    return -loss if math.isnan(value) else value - TIE * loss


def score_of(task: str | None) -> str:
    """The validation metric that chooses the epoch of a task: the AUC, of grades and numbers the mean absolute error.

    >>> score_of("multilabel"), score_of("ordinal")
    ('val_auc', 'val_mae')
    """
    kind = task_of(task)
    return "val_auc" if kind.classifies and not kind.ordered else "val_mae"


def is_error(score: str) -> bool:
    """Whether less of a metric is better."""
    return score.endswith("_mae")


def better_of(metrics: Iterable[str] | None) -> Callable[[float, float], bool]:
    """MONAI's `metric_cmp_fn` of an engine whose key metric is the first of these, if any.

    >>> better_of(["val_auc"])(0.9, 0.8), better_of(["val_mae"])(0.9, 0.8)
    (True, False)
    """
    error = is_error(next(iter(metrics or ()), ""))
    return lambda new, best: new < best if error else new > best
