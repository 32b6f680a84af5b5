"""VICReg: two images of one case have like features, each feature varies over a batch, and no two vary together.

Source: Bardes, Ponce, LeCun, "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning" (ICLR
2022, arXiv 2105.04906), Eq. 1 to 6. No negatives, no momentum encoder and no large batches are needed. With z = an
expander of the features of one image, z' of the other, n cases and d outputs,

    loss = 25 · s(Z, Z') + 25 · [v(Z) + v(Z')] + 1 · [c(Z) + c(Z')]
    s = Σᵢ ‖zᵢ − z'ᵢ‖² / (n·d)    v = Σⱼ max(0, 1 − √(Var(zʲ) + 1e-4)) / d    c = Σ_{i≠j} Cov(Z)ᵢⱼ² / d

Ours: s is divided by d too, as in the published code, whose weights these are; a narrower expander.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossd.errors import CrossDError, one_of

WEIGHTS = {"invariance": 25.0, "variance": 25.0, "covariance": 1.0}
EXPANDED = 1024  # outputs of the expander; 8192 in the paper, for batches of 2048
EPSILON = 1e-4


class VICReg(nn.Module):
    """The objective and its expander, which is thrown away in the end.

    Args:
        features: how many an image has.
        weights: of the terms, by name; those of the paper where not given. 0 leaves a term out.

    >>> terms = VICReg(16)(torch.rand(8, 16), torch.rand(8, 16))
    >>> [*terms], terms["loss"].requires_grad
    (['loss', 'invariance', 'variance', 'covariance'], True)
    """

    def __init__(self, features: int, weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        for name, weight in (weights or {}).items():
            one_of("loss_weights", name, WEIGHTS)
            if not 0 <= weight < math.inf:
                raise CrossDError(f"The weight of a term is 0 or more, got {name}: {weight}. Pass 0 to leave it out.")
        self.weights = {**WEIGHTS, **(weights or {})}
        hidden = [layer for width in (features, EXPANDED) for layer in _expansion(width)]
        self.expander = nn.Sequential(*hidden, nn.Linear(EXPANDED, EXPANDED))

    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        """Features of two images of each case, `(batch, feature)` both, to the loss and its terms without weights."""
        z = [self.expander(features) for features in (first, second)]
        terms = {
            "invariance": F.mse_loss(*z),
            "variance": variance(z[0]) + variance(z[1]),
            "covariance": covariance(z[0]) + covariance(z[1]),
        }
        loss = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return {"loss": loss, **{name: term.detach() for name, term in terms.items()}}


def variance(z: Tensor) -> Tensor:
    """How far standard deviations over the batch `(batch, output)` fall short of 1: the mean over outputs.

    >>> round(variance(torch.tensor([[1.0, 5.0], [-1.0, 5.0]])).item(), 4)
    0.495
    """
    return torch.relu(1 - (z.var(0) + EPSILON).sqrt()).mean()


def covariance(z: Tensor) -> Tensor:
    """Squares of the covariances between outputs over the batch `(batch, output)`, their sum by the outputs.

    >>> covariance(torch.tensor([[1.0, 1.0], [-1.0, -1.0]])).item()
    4.0
    """
    centred = z - z.mean(0)
    squares = (centred.T @ centred / (len(z) - 1)).square()
    return (squares.sum() - squares.diagonal().sum()) / z.shape[1]


def _expansion(width: int) -> list[nn.Module]:
    return [nn.Linear(width, EXPANDED), nn.BatchNorm1d(EXPANDED), nn.ReLU()]
