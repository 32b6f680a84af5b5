"""What MONAI's engines measure in training and validation, and what decides which epoch was best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.handlers import IgniteMetricHandler, from_engine
from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from crossd.evaluation.metrics import class_aucs, nan_mean, negative_log_likelihood


class _OverAllCases(CumulativeIterationMetric):
    def _compute_tensor(self, y_pred: Tensor, y: Tensor, **_: Any) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return y_pred.float().cpu(), y.float().cpu()

    def _all_cases(self) -> tuple[Tensor, Tensor]:
        probabilities, targets = self.get_buffer()  # type: ignore[misc]
        return torch.as_tensor(probabilities), torch.as_tensor(targets)


class PresentClassAUC(_OverAllCases):
    """Macro AUC over the classes of which there are cases and counter-cases; nan when there is no such class.

    MONAI's `ROCAUCMetric` is nan as soon as one class is missing, and comparisons with nan never find a best epoch.

    Call with probabilities and targets `(batch, classes)`, 0 or 1; then `aggregate()`.

    >>> metric = PresentClassAUC()
    >>> _ = metric(torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]), torch.tensor([[1, 0, 0], [0, 1, 0]]))
    >>> metric.aggregate()  # no case of the third class
    1.0
    """

    def aggregate(self, *_: Any, **__: Any) -> float:
        return nan_mean(class_aucs(*self._all_cases()))


class NegativeLogLikelihood(_OverAllCases):
    """`negative_log_likelihood` over all cases of a validation.

    >>> metric = NegativeLogLikelihood("multiclass")
    >>> _ = metric(torch.tensor([[0.5, 0.5]]), torch.tensor([[1, 0]]))
    >>> round(metric.aggregate(), 4)
    0.6931
    """

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task

    def aggregate(self, *_: Any, **__: Any) -> float:
        return negative_log_likelihood(*self._all_cases(), self.task)


class MeanAbsoluteError(_OverAllCases):
    """Mean absolute error of numbers `(batch, 1)` over all cases, in their unit; of grades the expected one, in steps.

    MONAI's `MAEMetric` is the same of each case, and its mean is over batches. Of grades `(batch, grades)`, one of them
    true, the error expected under the probabilities tells epochs apart that say the same grades.

    >>> metric = MeanAbsoluteError()
    >>> _ = metric(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.5], [4.0]]))
    >>> metric.aggregate()
    1.25
    >>> metric = MeanAbsoluteError()
    >>> _ = metric(torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[1, 0, 0]]))
    >>> metric.aggregate()
    0.75
    """

    def aggregate(self, *_: Any, **__: Any) -> float:
        said, true = (part.double() for part in self._all_cases())
        if said.shape[1] > 1:  # P(y > k) minus whether it is so, summed over k
            return float((said - true).cumsum(1).abs().sum(1).mean())
        return float((said - true).abs().mean())


def engine_metrics(
    names: Sequence[str], task: str = "multiclass", logits: bool = False
) -> dict[str, IgniteMetricHandler]:
    """The metrics of an engine's output by these names, the first of which is its key metric.

    Args:
        names: such as `"val_auc"` and `"val_loss"`, or `"val_mae"`; what follows the last `_` says which is meant.
        task: of `crossd.cards.tasks.TASKS`, which the loss depends on.
        logits: the output is a dictionary with `"pred"`, logits of findings `(batch, classes)`, and `"label"`;
            otherwise it is a list of them, case by case, with probabilities.

    >>> sorted(engine_metrics(["val_auc", "val_loss"]))
    ['val_auc', 'val_loss']
    """
    seen = _of_logits if logits else from_engine(["pred", "label"])
    kinds = {"auc": PresentClassAUC, "loss": lambda: NegativeLogLikelihood(task), "mae": MeanAbsoluteError}
    return {name: IgniteMetricHandler(kinds[name.rpartition("_")[2]](), output_transform=seen) for name in names}


def _of_logits(output: Mapping[str, Any]) -> tuple[Any, Any]:
    return output["pred"].sigmoid(), output["label"]
