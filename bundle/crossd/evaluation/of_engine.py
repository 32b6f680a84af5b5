"""What MONAI's engines measure in training and validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai.handlers import IgniteMetricHandler, from_engine

from crossd.evaluation.validation import NegativeLogLikelihood, PresentClassAUC


def engine_metrics(
    names: Sequence[str], task: str = "multiclass", logits: bool = False
) -> dict[str, IgniteMetricHandler]:
    """The metrics of an engine's output by these names, the first of which is its key metric.

    Args:
        names: such as `"val_auc"` and `"val_loss"`; what follows the last `_` says which is meant.
        task: `"multiclass"` or `"multilabel"`, which the loss depends on.
        logits: the output is a dictionary with `"pred"`, logits of findings `(batch, classes)`, and `"label"`;
            otherwise it is a list of them, case by case, with probabilities.

    >>> sorted(engine_metrics(["val_auc", "val_loss"]))
    ['val_auc', 'val_loss']
    """
    seen = _of_logits if logits else from_engine(["pred", "label"])
    kinds = {"auc": PresentClassAUC, "loss": lambda: NegativeLogLikelihood(task)}
    return {name: IgniteMetricHandler(kinds[name.rpartition("_")[2]](), output_transform=seen) for name in names}


def _of_logits(output: Mapping[str, Any]) -> tuple[Any, Any]:
    return output["pred"].sigmoid(), output["label"]
