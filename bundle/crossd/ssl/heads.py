"""The parameters of PCRLv2's objective: what turns a decoder's feature maps into projections and restored images.

Source: models/pcrlv2_model_3d.py of github.com/RL4M/PCRLv2, commit 6634bef (arXiv 2301.00772), where each of the three
decoder scales has such heads. Taking any number of scales, of any network, in 2D too, is ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.layers.factories import Conv, Norm
from torch import Tensor, nn

from crossd.errors import CrossDError
from crossd.ssl.pcrl import ViewOutput

EXPANSION = 2  # from the published code: the predictor's hidden layer is twice as wide as the features


class SimilarityHead(nn.Module):
    """A feature map of C channels as projection z = BN(mean over positions) and prediction p = MLP(z), C → 2C → C.

    >>> z, p = SimilarityHead(8)(torch.rand(2, 8, 4, 4, 4))
    >>> z.shape, p.shape
    (torch.Size([2, 8]), torch.Size([2, 8]))
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = EXPANSION * channels
        self.norm = nn.BatchNorm1d(channels)
        self.predictor = nn.Sequential(
            nn.Linear(channels, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """`(batch, channel, …)` to `(batch, channel)` twice.

        Raises:
            CrossDError: in training with a batch of one, whose projection would be 0 for every image.
        """
        if self.training and features.shape[0] < 2:
            raise CrossDError(
                "Projections are normalised over the batch, so training takes 2 views or more at once, got 1. Raise "
                "the batch size, or drop the last batch (drop_last=True)."
            )
        projection = self.norm(features.flatten(2).mean(2))
        return projection, self.predictor(projection)


class MiddleHead(nn.Module):
    """An image restored from a feature map: convolution 3³, batch norm, sigmoid, interpolated to the view's size.

    >>> MiddleHead(3, 8, 1)(torch.rand(2, 8, 4, 4, 4), (8, 8, 8)).shape
    torch.Size([2, 1, 8, 8, 8])
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = Conv[Conv.CONV, spatial_dims](in_channels, out_channels, kernel_size=3, padding=1)
        self.norm = Norm[Norm.BATCH, spatial_dims](out_channels)
        self.mode = "trilinear" if spatial_dims == 3 else "bilinear"

    def forward(self, features: Tensor, size: Sequence[int]) -> Tensor:
        """`(batch, channel, …)` to an image `(batch, out_channels, *size)` in [0, 1]."""
        middle = torch.sigmoid(self.norm(self.conv(features)))
        return F.interpolate(middle, size=tuple(size), mode=self.mode) if middle.shape[2:] != tuple(size) else middle


class PCRLHeads(nn.Module):
    """From the feature maps of any decoder to what the objective compares.

    Args:
        spatial_dims: 2 or 3.
        channels: of the feature maps, coarse to fine. The published network has three, of 256, 128 and 64.

    >>> heads = PCRLHeads(3, channels=[8, 4], out_channels=1)
    >>> features = [torch.rand(2, 8, 4, 4, 4), torch.rand(2, 4, 8, 8, 8)]
    >>> view = heads(features)
    >>> view.restored.shape, [middle.shape[2:] for middle in view.middles]
    (torch.Size([2, 1, 8, 8, 8]), [torch.Size([8, 8, 8]), torch.Size([8, 8, 8])])
    """

    def __init__(self, spatial_dims: int, channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.similarity = nn.ModuleList(SimilarityHead(c) for c in channels)
        self.middle = nn.ModuleList(MiddleHead(spatial_dims, c, out_channels) for c in channels)
        self.restore = Conv[Conv.CONV, spatial_dims](channels[-1], out_channels, kernel_size=1)

    def forward(self, features: Sequence[Tensor], sub_crops: bool = False) -> ViewOutput:
        """Outputs of one view, whose last feature map has the size of the image; sub-crops are not restored.

        Raises:
            CrossDError: in training for a batch of one.
        """
        pairs = [head(feature) for head, feature in zip(self.similarity, features, strict=True)]
        if sub_crops:
            return ViewOutput(pairs)
        size = features[-1].shape[2:]
        middles = [head(feature, size) for head, feature in zip(self.middle, features, strict=True)]
        return ViewOutput(pairs, middles, torch.sigmoid(self.restore(features[-1])))
