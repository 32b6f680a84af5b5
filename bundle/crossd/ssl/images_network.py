"""A 2D network that is trained on slices and projections of volumes: two images of one volume are a pair of VICReg.

The images of a step are all seen along one direction, and where that is an axis of the volume the kernels `U` are seen
along the same one (`crossd.conv.alignment`). So with `view="projection"` 2D training shapes U along all three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossd.conv import set_through_plane
from crossd.errors import CrossDError, one_of
from crossd.networks import build_classifier
from crossd.networks.images_of_volumes import KINDS, directions, projections, resize, turn
from crossd.ssl.encoders import Encoder

Direction = tuple[int, int, int]
WEIGHTS = {"invariance": 25.0, "variance": 25.0, "covariance": 1.0}
EXPANDED = 1024  # outputs of the expander; 8192 in the paper, for batches of 2048
EPSILON = 1e-4


class VICReg(nn.Module):
    """VICReg: images of one case have like features, each varies over a batch, and no two vary together.

    With z = an expander of the features of one image, z' of the other, n cases and d outputs,

        loss = 25 · s(Z, Z') + 25 · [v(Z) + v(Z')] + 1 · [c(Z) + c(Z')]
        s = Σᵢ ‖zᵢ − z'ᵢ‖² / (n·d)    v = Σⱼ max(0, 1 − √(Var(zʲ) + 1e-4)) / d    c = Σ_{i≠j} Cov(Z)ᵢⱼ² / d

    The expander is thrown away in the end.

    Args:
        features: how many an image has.
        weights: of the terms, by name; those of the paper where not given. 0 leaves a term out.

    Source: Bardes, Ponce, LeCun, "VICReg" (ICLR 2022, arXiv 2105.04906), Eq. 1 to 6. Ours: s is divided by d too, as in
    the published code, whose weights these are; a narrower expander.

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


class ImagesEncoder(Encoder):
    """A 2D network without its last layer that sees volumes in images.

    Args:
        network: as in a card, what `build_classifier` takes but classes.
        image_size: longer side of the images, pixels; None: as they are.

    >>> encoder = ImagesEncoder({"spatial_dims": 2, "in_channels": 1, "depth": 10, "width": 4}, image_size=32)
    >>> [tuple(features.shape) for features in encoder(torch.rand(2, 1, 16, 16, 16))]
    [(8, 32), (8, 32), (8, 32)]
    """

    def __init__(self, network: Mapping[str, Any], image_size: int | None = None) -> None:
        super().__init__()
        net: Any = build_classifier({**network, "num_classes": 1})
        net.fc = nn.Identity()
        self.net = net
        self.image_size = image_size

    def forward(self, x: Tensor) -> list[Tensor]:
        """`(batch, channel, depth, height, width)` to `(4 · batch, feature)` along each axis: all images there."""
        found = [self.features(images_along(x, axis, [x.shape[2 + axis] // 2] * len(x)), axis) for axis in range(3)]
        set_through_plane(self.net, 0)
        return found

    def features(self, images: Tensor, axis: int) -> Tensor:
        """Images `(…, channel, rows, columns)` of volumes seen along an axis to `(images, feature)`."""
        set_through_plane(self.net, axis)
        flat = images.flatten(0, -4)
        if self.image_size is not None:
            flat = resize(flat, self.image_size, (1, 1))
        return self.net.pooled_features(flat)  # type: ignore[no-any-return, operator]


def images_along(x: Tensor, axis: int, positions: Sequence[int]) -> Tensor:
    """The slice of each volume at its position, then mean, maximum and standard deviation along an axis.

    `(batch, channel, depth, height, width)` → `(batch, 4, channel, rows, columns)`.

    >>> images_along(torch.rand(2, 1, 4, 5, 6), axis=1, positions=[0, 4]).shape
    torch.Size([2, 4, 1, 4, 6])
    """
    cut = torch.stack([volume.select(1 + axis, place) for volume, place in zip(x, positions, strict=True)])
    return torch.cat([cut.unsqueeze(1), projections(x, axis)], 1)


class ImagesNetwork(nn.Module):
    """From two views of volumes, which are volumes, to the loss of a step: an image of one, an image of the other.

    Half of the images are slices, at any place; the others are projections, of each kind as many. Each image has mean 0
    and standard deviation 1.

    Args:
        looking: `"axes"`, or `"diagonals"`: also along those, turned to depth, ten steps of thirteen.

    >>> encoder = ImagesEncoder({"spatial_dims": 2, "in_channels": 1, "depth": 10, "width": 4})
    >>> network = ImagesNetwork(encoder, VICReg(encoder.net.num_features))
    >>> view = torch.rand(4, 1, 16, 16, 16)
    >>> network(view_1=view, view_2=view, epoch=0.0, seed=0)["loss"].requires_grad
    True
    """

    def __init__(self, encoder: ImagesEncoder, objective: VICReg, looking: str = "axes") -> None:
        super().__init__()
        self.encoder, self.objective = encoder, objective
        self.directions = directions(looking)

    def forward(self, view_1: Tensor, view_2: Tensor, epoch: float, seed: int, **_: Tensor) -> dict[str, Tensor]:
        """The loss of a batch, and its terms.

        Args:
            view_1, view_2: `(batch, channel, *roi_size)`, of the same volumes.
            epoch: is of no account.
            seed: of direction, kinds and places.
        """
        generator = torch.Generator().manual_seed(seed)
        direction = self.directions[int(torch.randint(len(self.directions), (), generator=generator))]
        axis = direction.index(1) if sum(map(abs, direction)) == 1 else 0
        images = torch.cat([self._images(view, direction, axis, generator) for view in (view_1, view_2)])
        terms: dict[str, Tensor] = self.objective(*self.encoder.features(images, axis).chunk(2))
        set_through_plane(self.encoder.net, 0)
        return terms

    def _images(self, view: Tensor, direction: Direction, axis: int, generator: torch.Generator) -> Tensor:
        """One image of each volume, `(batch, channel, rows, columns)`."""
        if sum(map(abs, direction)) > 1:
            view = turn(view, direction, (1, 1, 1), float(view.min()))
        count, length = len(view), view.shape[2 + axis]
        places = torch.randint(length, (count,), generator=generator).tolist()
        share = torch.tensor([len(KINDS), *[1] * len(KINDS)], dtype=torch.float)
        kinds = torch.multinomial(share, count, replacement=True, generator=generator)
        images = images_along(view, axis, places)[torch.arange(count), kinds]
        flat = images.flatten(1)
        shape = (-1, *[1] * (images.ndim - 1))
        return (images - flat.mean(1).reshape(shape)) / (flat.std(1).reshape(shape) + 1e-5)
