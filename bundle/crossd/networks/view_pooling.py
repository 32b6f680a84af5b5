"""Features of many slices and projections as one vector for each view: pooled over images, axes and channels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from crossd.errors import one_of

POOLINGS = ("mean", "max", "attention")
CHANNELS = ("mean", "concatenate", "differences")
ATTENTION = 128  # wide: with 1280 features a layer of 164,000 weights


class ViewPooling(nn.Module):
    """Pools what is seen of volumes, view by view.

    Args:
        width: features of an image.
        in_channels: of the volumes, each of which was seen as a volume of its own.
        stacks: how many axes or directions each view looks along.
        kinds: of projections; each keeps features of its own.
        pooling, axes_apart, channels: see `crossd.MultiView`.

    Attributes:
        feature_widths: features of each view.

    Raises:
        CrossDError: for an option that does not exist.

    >>> pooling = ViewPooling(8, in_channels=1, stacks={"slices": 2, "projections": 3}, kinds=2)
    >>> seen = {"slices": [torch.rand(4, 20, 8), torch.rand(4, 30, 8)], "projections": [torch.rand(4, 2, 8)] * 3}
    >>> pooling.feature_widths, [tuple(features.shape) for features in pooling(seen).values()]
    ({'slices': 8, 'projections': 16}, [(4, 8), (4, 16)])
    """

    def __init__(
        self,
        width: int,
        in_channels: int,
        stacks: Mapping[str, int],
        kinds: int,
        pooling: str = "mean",
        axes_apart: bool = False,
        channels: str = "mean",
    ) -> None:
        super().__init__()
        self.in_channels, self.axes_apart = in_channels, axes_apart
        self.pooling = one_of("pooling", pooling, POOLINGS)
        self.channels = one_of("channels", channels, CHANNELS)
        self.attention = nn.ModuleDict()
        for view in stacks:
            if pooling == "attention" and view != "volume":
                self.attention[view] = nn.Sequential(nn.Linear(width, ATTENTION), nn.Tanh(), nn.Linear(ATTENTION, 1))
        repeats = {"mean": 1, "concatenate": in_channels, "differences": 2 * in_channels - 1}[channels]
        self.feature_widths = {
            view: width * repeats * (kinds if view == "projections" else 1) * (count if axes_apart else 1)
            for view, count in stacks.items()
        }

    def forward(self, seen: dict[str, list[Tensor]]) -> dict[str, Tensor]:
        """View → `(batch · channel, image, feature)` for each axis or direction, to view → `(batch, feature)`."""
        return {view: self._joined(self._of_view(stacks, view)) for view, stacks in seen.items()}

    def _of_view(self, stacks: list[Tensor], view: str) -> Tensor:
        """Stacks `(volume, image, feature)` → `(volume, feature)`."""
        if view == "projections":
            kinds = torch.stack(stacks, 1).unbind(2)  # each (volume, direction, feature)
            return torch.cat([kind.flatten(1) if self.axes_apart else self._pooled(kind, view) for kind in kinds], 1)
        pooled = [self._pooled(features, view) for features in stacks]
        return torch.cat(pooled, 1) if self.axes_apart else torch.stack(pooled).mean(0)

    def _pooled(self, features: Tensor, view: str) -> Tensor:
        """`(volume, image, feature)` → `(volume, feature)`."""
        if view in self.attention:
            return (self.attention[view](features).softmax(1) * features).sum(1)
        return features.amax(1) if self.pooling == "max" else features.mean(1)

    def _joined(self, features: Tensor) -> Tensor:
        """`(batch · channel, feature)` → `(batch, feature)`."""
        features = features.unflatten(0, (-1, self.in_channels))
        if self.channels == "mean":
            return features.mean(1)
        parts = [features]
        if self.channels == "differences":
            parts.append(features[:, 1:] - features[:, :-1])
        return torch.cat(parts, 1).flatten(1)
