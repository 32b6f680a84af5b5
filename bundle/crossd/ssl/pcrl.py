"""PCRLv2: one objective that preserves pixels, semantics and scales.

Source: Zhou et al., "A Unified Visual Information Preservation Framework for Self-supervised Pre-training in Medical
Image Analysis" (TPAMI 2023, arXiv 2301.00772). "From the published code" below is train_3d.py and
models/pcrlv2_model_3d.py of github.com/RL4M/PCRLv2, commit 6634bef; the other choices are called "ours".

Two global views and several sub-crops of a volume go through the same network. With the global views 1 and 2, sub-crops
i = 1 … N, and scales m, m_i, n_i drawn anew for every comparison,

    loss = MSE(restored_1, target) + S_m(1, 2) + 1/(2N) · Σ_i [S_m_i(1, i) + S_n_i(2, i)] + β · MSE(middle_1,m, target)
    S_m(a, b) = −½ · [cos(p_a,m, sg z_b,m) + cos(p_b,m, sg z_a,m)]         β = ½ · (1 + cos(π · epoch / 240))

where z is a feature map's mean over positions, normalised over the batch, p is predicted from z, and sg stops the
gradient. The target is view 1 before its intensities were changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossd.errors import CrossDError, one_of

ANNEALING_EPOCHS = 240  # from the published code: written into the cosine, as many as its epochs
TERMS = ("restoration", "similarity", "sub_crops", "middle")


class ViewOutput(NamedTuple):
    """What the objective compares of one view.

    Attributes:
        pairs: of each scale, coarse to fine, the projection z and the prediction p, `(batch, channel)` both.
        middles: images restored from each scale, `(batch, channel, …)` of the view's size; none for sub-crops.
        restored: the image restored by the decoder, likewise; None for sub-crops.
    """

    pairs: Sequence[tuple[Tensor, Tensor]]
    middles: Sequence[Tensor] = ()
    restored: Tensor | None = None

    def split(self, views: int) -> list[ViewOutput]:
        """The outputs of views that went through the network as one batch, view after view (from the published code).

        >>> together = ViewOutput([(torch.zeros(6, 4), torch.zeros(6, 4))])
        >>> [view.pairs[0][0].shape[0] for view in together.split(3)]
        [2, 2, 2]
        """
        chunks = [zip(z.chunk(views), p.chunk(views), strict=True) for z, p in self.pairs]
        return [ViewOutput(list(of_view)) for of_view in zip(*chunks, strict=True)]


def similarity(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    """The negative cosine between each prediction and the other view's projection, which gets no gradient.

    A view is its projection z and its prediction p, `(batch, channel)` each. From −1 (same directions) to 1; symmetric.

    Source: SimSiam (arXiv 2011.10566), Eq. 2, as in the published code: no momentum encoder, no negatives.

    >>> z, p = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    >>> similarity((z, p), (z, p)).item() == -torch.tensor(0.6).item()
    True
    """
    (z_1, p_1), (z_2, p_2) = first, second
    if not z_1.shape == p_1.shape == z_2.shape == p_2.shape:
        raise CrossDError(
            "Views are compared case by case and channel by channel, got projections and predictions of the shapes "
            f"{', '.join(str(tuple(t.shape)) for t in (z_1, p_1, z_2, p_2))}. Compare the same cases at one scale."
        )
    one = F.cosine_similarity(p_1, z_2.detach(), dim=1).mean()
    other = F.cosine_similarity(p_2, z_1.detach(), dim=1).mean()
    return -(one + other) / 2


def annealing(epoch: float, epochs: float = ANNEALING_EPOCHS) -> float:
    """β, the weight of the restoration from a middle scale: from 1 to 0 by half a cosine.

    0 after the last epoch, where the published formula would rise again (ours).

    >>> [round(annealing(epoch), 3) for epoch in (0, 60, 120, 240, 300)]
    [1.0, 0.854, 0.5, 0.0, 0.0]
    """
    if epochs <= 0 or epoch < 0:
        raise CrossDError(f"Annealing takes an epoch of 0 or more out of more than 0, got {epoch} of {epochs}.")
    return (1 + math.cos(math.pi * min(epoch / epochs, 1.0))) / 2


class PCRLObjective(nn.Module):
    """The sum of the four terms; without parameters, those are in `PCRLHeads`.

    Args:
        annealing_epochs: after which the middle restoration has no weight; 240 is from the published code.
        weights: of the terms, by name; 1 where not given (from the published code). 0 leaves a term out.

    >>> z = torch.rand(2, 4)
    >>> view = ViewOutput([(z, z)], [torch.ones(2, 1, 8, 8, 8)], torch.zeros(2, 1, 8, 8, 8))
    >>> terms = PCRLObjective()(view, view, [], target=torch.zeros(2, 1, 8, 8, 8), epoch=120)
    >>> {name: round(float(value), 4) for name, value in terms.items()}
    {'loss': -0.5, 'restoration': 0.0, 'similarity': -1.0, 'sub_crops': 0.0, 'middle': 1.0, 'beta': 0.5}
    """

    def __init__(self, annealing_epochs: float = ANNEALING_EPOCHS, weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        annealing(0, annealing_epochs)
        for name, weight in (weights or {}).items():
            one_of("weights", name, TERMS)
            if not 0 <= weight < math.inf:
                raise CrossDError(f"The weight of a term is 0 or more, got {name}: {weight}. Pass 0 to leave it out.")
        self.annealing_epochs = annealing_epochs
        self.weights = {**dict.fromkeys(TERMS, 1.0), **(weights or {})}

    def forward(
        self,
        first: ViewOutput,
        second: ViewOutput,
        sub_crops: Sequence[ViewOutput],
        target: Tensor,
        epoch: float,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The loss of a batch, and its terms.

        Args:
            first: global view 1, with its restored images.
            second: global view 2.
            sub_crops: of the same cases in the same order; may be empty.
            target: view 1 before its intensities were changed, `(batch, channel, …)` in [0, 1].
            epoch: what β is annealed by, from 0.
            generator: of the scales, one per comparison: 1 with 2, then each sub-crop with 1 and with 2. On the CPU.

        Returns:
            `"loss"`, then its terms without their weights: `"restoration"`, `"similarity"`, `"sub_crops"`, `"middle"`;
            and `"beta"`.

        Raises:
            CrossDError: for views of different cases, and for images of other shapes than the target.
        """
        restored = first.restored
        assert restored is not None  # its heads were called with sub_crops=False

        def compared(one: ViewOutput, other: ViewOutput) -> tuple[int, Tensor]:
            scale = int(torch.randint(len(first.pairs), (), generator=generator))
            return scale, similarity(one.pairs[scale], other.pairs[scale])

        scale, between = compared(first, second)
        beta = annealing(epoch, self.annealing_epochs)
        local = [compared(view, crop)[1] for crop in sub_crops for view in (first, second)]
        terms = {
            "restoration": _restoration(restored, target),
            "similarity": between,
            "sub_crops": torch.stack(local).mean() if local else restored.new_zeros(()),
            "middle": _restoration(first.middles[scale], target),
        }
        annealed = {**dict.fromkeys(TERMS, 1.0), "middle": beta}
        used = [self.weights[name] * annealed[name] * term for name, term in terms.items() if self.weights[name]]
        loss = torch.stack(used).sum() if used else restored.new_zeros(())
        return {"loss": loss, **terms, "beta": restored.new_tensor(beta)}


def _restoration(image: Tensor, target: Tensor) -> Tensor:
    """The mean squared error, of equal shapes only: torch would repeat one along the other."""
    if image.shape != target.shape:
        raise CrossDError(
            f"Restored images and their target have one shape, got {tuple(image.shape)} and {tuple(target.shape)}. The "
            "finest feature map must have the size of the view, and out_channels must be the view's."
        )
    return F.mse_loss(image, target)
