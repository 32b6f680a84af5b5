"""The loss of a classifier, with classes that are rare counted for more, and that of images and volumes together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from crossd.cards.tasks import task_of
from crossd.errors import CrossDError
from crossd.processes import process_count

Label = int | Sequence[int]


def balanced_weights(labels: Sequence[Label], classes: int, task: str) -> Tensor:
    """Weights `(classes,)` that let every class count the same; 1 for classes without cases.

    Multiclass: `cases / (classes · cases of c)`. Multilabel: `cases without c / cases with c`, the weight of the cases
    with c.

    >>> balanced_weights([0, 0, 0, 1], 2, "multiclass").tolist()
    [0.6666666865348816, 2.0]
    >>> balanced_weights([[1, 0], [0, 0], [0, 1], [0, 1]], 2, "multilabel").tolist()
    [3.0, 1.0]
    """
    if task == "multilabel":
        positive = torch.tensor([list(label) for label in labels]).reshape(len(labels), classes).sum(0)  # type: ignore[arg-type]
        weights = (len(labels) - positive) / positive.clamp(min=1)
        return torch.where((positive > 0) & (weights > 0), weights, torch.ones(classes))
    counts = torch.bincount(torch.as_tensor(labels, dtype=torch.long), minlength=classes)
    return torch.where(counts > 0, len(labels) / (classes * counts.clamp(min=1)), torch.ones(classes))


def classification_loss(
    labels: Sequence[Label],
    class_names: Sequence[str],
    task: str,
    class_weights: str | Sequence[float] | None = "balanced",
    label_smoothing: float = 0.0,
) -> nn.Module:
    """Cross-entropy over classes that exclude each other, binary cross-entropy of each (multilabel), or
    `ThresholdEntropy` (ordinal), of logits.

    Args:
        labels: of the training cases.
        task: `"multiclass"`, `"multilabel"` or `"ordinal"`.
        class_weights: `"balanced"` (see `balanced_weights`), None for none, or a number per class.
        label_smoothing: of the cross-entropy; multiclass only.

    Returns:
        A module: logits `(batch, classes)`, and labels `(batch,)` or 0 and 1 `(batch, classes)`, to a number.

    Raises:
        CrossDError: for weights that are not one positive number per class, and for smoothing in multilabel.

    >>> loss = classification_loss([0, 1, 1], ["a", "b"], "multiclass")
    >>> float(loss(torch.zeros(3, 2), torch.tensor([0, 1, 1]))) == float(torch.log(torch.tensor(2.0)))
    True
    """
    if class_weights is None:
        weights = None
    elif class_weights == "balanced":
        weights = balanced_weights(labels, len(class_names), task)
    else:
        given = isinstance(class_weights, (list, tuple))
        if not given or len(class_weights) != len(class_names) or not all(float(w) > 0 for w in class_weights):
            raise CrossDError(
                f"class_weights must be 'balanced', null or one positive number for each of {list(class_names)}, got "
                f"{class_weights!r}. Example: --class_weights '{[1.0] * len(class_names)}'."
            )
        weights = torch.tensor([float(w) for w in class_weights])
    if label_smoothing and task != "multiclass":
        raise CrossDError(f"label_smoothing is for multiclass only, got {label_smoothing}. Pass --label_smoothing 0.")
    if task == "multilabel":
        return nn.BCEWithLogitsLoss(pos_weight=weights)
    if task_of(task).ordered:
        return ThresholdEntropy(weight=weights)
    return SharedCrossEntropy(weight=weights, label_smoothing=label_smoothing)


class SharedCrossEntropy(nn.CrossEntropyLoss):
    """Cross-entropy whose weighted mean is over the batches of all processes together.

    torch divides by the sum of the weights of a batch. That sum differs from process to process, and
    `DistributedDataParallel` averages their gradients, so each loss is scaled by its share of the whole sum.

    >>> loss = SharedCrossEntropy(weight=torch.tensor([1.0, 3.0]))
    >>> round(float(loss(torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1]))), 4)
    1.6269
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits `(batch, classes)` and labels `(batch,)`, or shares of classes `(batch, classes)`, to a number."""
        loss = self._of_batch(input, target)
        if self.weight is None or target.is_floating_point() or process_count() == 1:
            return loss  # the mean over cases, of which all processes have as many
        own = self.weight[target].sum()
        whole = own.clone()
        dist.all_reduce(whole)
        return loss * own * process_count() / whole

    def _of_batch(self, input: Tensor, target: Tensor) -> Tensor:
        """The weighted mean over the cases of this process."""
        return super().forward(input, target)


class ThresholdEntropy(SharedCrossEntropy):
    r"""Binary cross-entropy of "above grade k", $P(y > k)$, meaned over all thresholds k; of logits of grades.

    An answer costs more the further it is off, as it is wrong at more thresholds; the least expected loss is that of
    the true probabilities. $\operatorname{logit} P(y > k)$ is the logarithm of the sum of exponents above k minus that
    of those up to k, so thresholds never contradict each other.

    Source: Niu et al., "Ordinal regression with multiple output CNN for age estimation", CVPR 2016, whose thresholds
    have an output each; here they are those of one softmax.

    >>> loss = ThresholdEntropy()
    >>> sure_of_0 = torch.tensor([[9.0, 0.0, 0.0]])
    >>> near, far = (float(loss(sure_of_0, torch.tensor([true]))) for true in (1, 2))
    >>> 1.5 < far / near < 2.5
    True
    """

    def _of_batch(self, input: Tensor, target: Tensor) -> Tensor:
        logits, grades = input.float(), torch.arange(input.shape[1] - 1, device=input.device)
        upward, downward = logits.logcumsumexp(1), logits.flip(1).logcumsumexp(1).flip(1)
        above = (target[:, None] > grades).to(logits)
        each = F.binary_cross_entropy_with_logits(downward[:, 1:] - upward[:, :-1], above, reduction="none").mean(1)
        if self.weight is None:
            return each.mean()
        weights = self.weight[target]
        return (each * weights).sum() / weights.sum()


def branch_weights(volume_weight: float, image_weight: float) -> tuple[float, float]:
    """The weights of both losses, checked.

    >>> branch_weights(1, 0.5)
    (1.0, 0.5)
    """
    weights = (float(volume_weight), float(image_weight))
    if min(weights) < 0 or max(weights) == 0 or not all(map(math.isfinite, weights)):
        raise CrossDError(
            "Weights of losses are 0 or more, and one of them above 0; got volume_weight "
            f"{volume_weight} and image_weight {image_weight}. Pass 1 for both, say."
        )
    return weights


class HybridLoss(nn.Module):
    """`volume_weight · L(volumes) + image_weight · L(images)`.

    After a call `parts` holds the terms without their weights as `train_loss_3d` and `train_loss_2d`, and their
    weighted sum as `train_loss`, for logs.

    Args:
        volumes, images: losses of logits and labels.
        volume_weight, image_weight: 0: that loss is not computed.

    Raises:
        CrossDError: for weights below 0, or both 0, and for volumes of which a number is to be predicted.

    >>> loss = HybridLoss(nn.CrossEntropyLoss(), nn.CrossEntropyLoss(), image_weight=0.5)
    >>> answers, labels = (torch.zeros(2, 4), torch.zeros(3, 2)), (torch.tensor([0, 3]), torch.tensor([0, 1, 1]))
    >>> bool(torch.isclose(loss(answers, labels), torch.tensor(4.0).log() + 0.5 * torch.tensor(2.0).log()))
    True
    """

    def __init__(
        self, volumes: nn.Module, images: nn.Module, volume_weight: float = 1.0, image_weight: float = 1.0
    ) -> None:
        super().__init__()
        if isinstance(volumes, nn.SmoothL1Loss):
            raise CrossDError(
                "Images and volumes are trained together to tell classes apart, got --task regression. Leave it out, "
                "or train on the volumes alone with train.json."
            )
        self.volumes = volumes
        self.images = images
        self.weights = branch_weights(volume_weight, image_weight)
        self.parts: dict[str, float] = {}

    def forward(self, logits: tuple[Tensor | None, Tensor | None], labels: tuple[Tensor, Tensor]) -> Tensor:
        """Logits and labels of volumes and of images to a number."""
        terms = {
            name: loss(answer, truth)
            for name, loss, weight, answer, truth in zip(
                ("train_loss_3d", "train_loss_2d"),
                (self.volumes, self.images),
                self.weights,
                logits,
                labels,
                strict=True,
            )
            if weight
        }
        used = [weight for weight in self.weights if weight]
        total: Tensor = sum(weight * term for weight, term in zip(used, terms.values(), strict=True))  # type: ignore[assignment]
        self.parts = {name: float(term.detach()) for name, term in {"train_loss": total, **terms}.items()}
        return total
