"""The loss of a number, which has the unit of the table, and that of any task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from crossd.cards.tasks import task_of
from crossd.errors import CrossDError
from crossd.training.loss import Label, classification_loss


class ScaledSmoothL1(nn.SmoothL1Loss):
    """torch's smooth L1 loss of values divided by the scale of their target: squared near 0, absolute beyond one scale.

    >>> loss = ScaledSmoothL1(scale=100.0)
    >>> import torch
    >>> said, true = torch.tensor([[350.0], [100.0]]), torch.tensor([[400.0], [300.0]])
    >>> float(loss(said[:1], true[:1])), float(loss(said[1:], true[1:]))
    (0.125, 1.5)
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Values and true ones `(batch, 1)` to a number."""
        return super().forward(input.float() / self.scale, target / self.scale)


def loss_of(
    task: str,
    labels: Sequence[Label],
    class_names: Sequence[str],
    target: Mapping[str, float] | None = None,
    class_weights: str | Sequence[float] | None = "balanced",
    label_smoothing: float = 0.0,
) -> nn.Module:
    """The loss of a task: `classification_loss`, or of a regression `ScaledSmoothL1`.

    Args:
        target: of a regression's card.
        others: of `classification_loss`.

    Raises:
        CrossDError: for options of classes in a regression, and as `classification_loss`.
    """
    if task_of(task).classifies:
        return classification_loss(labels, class_names, task, class_weights, label_smoothing)
    if label_smoothing or not (class_weights is None or isinstance(class_weights, str)):
        raise CrossDError(
            f"class_weights and label_smoothing are of classes, got {class_weights!r} and {label_smoothing} for a "
            "number. Leave them out."
        )
    assert target is not None  # a card without one is refused
    return ScaledSmoothL1(target["scale"])
