"""Which of two epochs is the better one: the one rule for what is kept, what is reported and when training stops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

TIE = 1e-9  # a loss is at most 16 (probabilities are held at 1e-7), a step of the AUC 4e-8 for 5000 cases per class


def epoch_score(metrics: Mapping[str, Any], score: str) -> float:
    """What the best epoch has most of; of epochs with equal scores the first is the best.

    Args:
        metrics: of a validation: `score` and `val_loss`, as numbers or text.
        score: a metric. Epochs of an equal one (small validation sets soon reach 1) are told apart by the lower loss;
            where it is not a number (an AUC of one class), only the loss counts.

    >>> low, high = ({"val_auc": 0.9, "val_loss": loss} for loss in (0.1, 2))
    >>> epoch_score(low, "val_auc") > epoch_score(high, "val_auc")
    True
    >>> epoch_score({"val_auc": "nan", "val_loss": "0.5"}, "val_auc")
    -0.5
    """
    value, loss = float(metrics[score]), float(metrics["val_loss"])
    return -loss if math.isnan(value) else value - TIE * loss
