"""The loss of a hybrid step: of the volumes and of the images, weighted."""

from __future__ import annotations

import math

from torch import Tensor, nn

from crossd.errors import CrossDError


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
        CrossDError: for weights below 0, or both 0.

    >>> import torch
    >>> loss = HybridLoss(nn.CrossEntropyLoss(), nn.CrossEntropyLoss(), image_weight=0.5)
    >>> answers, labels = (torch.zeros(2, 4), torch.zeros(3, 2)), (torch.tensor([0, 3]), torch.tensor([0, 1, 1]))
    >>> bool(torch.isclose(loss(answers, labels), torch.tensor(4.0).log() + 0.5 * torch.tensor(2.0).log()))
    True
    """

    def __init__(
        self, volumes: nn.Module, images: nn.Module, volume_weight: float = 1.0, image_weight: float = 1.0
    ) -> None:
        super().__init__()
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
