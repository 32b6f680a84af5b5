"""`CrossDUNet`: a segmentation network whose encoder is one of our classifiers, so that any of its weights start it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Union

import torch.nn.functional as F
from monai.networks.layers import Conv
from monai.networks.nets.basic_unet import UpCat
from torch import Tensor, nn

from crossd.conv import crossd_convs
from crossd.errors import CrossDError
from crossd.networks.classifiers import build_classifier, classifier_arguments

IMAGE, NOTHING = -1, -2  # what a block of the decoder joins when it is no map of the encoder


class CrossDUNet(nn.Module):
    """A U-Net of Cross-D convolutions: one set of 3D kernels segments images and volumes.

    The encoder is a `CrossDResNet`, or a `CrossDEfficientNetLite`, without its last layers. The decoder doubles the
    size by interpolation, joins the encoder's map of that size, and convolves twice (MONAI's `UpCat`), until the size
    is that of the input; there it joins the image itself where the stem has halved it. Without transposed convolutions
    every spatial weight is a `CrossDConv`, so `net3d.load_state_dict(net2d.state_dict())` inflates it, strictly.

    `crossd.load_pretrained` gives the encoder the weights of any such network that it knows, and leaves the decoder
    fresh.

    Source of U-Net: Ronneberger et al., MICCAI 2015; of deep supervision: Lee et al., AISTATS 2015.

    Args:
        spatial_dims: 2 or 3.
        out_channels: classes, the background among them.
        depth, width, conv1_t_size, conv1_t_stride, no_max_pool: of a ResNet as encoder, as in `CrossDResNet`. The
            stride of the stem is 1, 2, 4 …
        encoder: `CrossDResNet`, or "lite0", "lite1", "lite2".
        decoder_channels: of the decoder's blocks, from coarse to fine; None: those of the encoder's maps they join, and
            those of the finest for finer ones.
        norm, act, dropout: of the decoder, as in MONAI's blocks.
        deep_supervision: how many coarser scales give an answer of their own in training.
        layer_options: `alignment`, `motion`, `view`, `momentum`, `max_angle` of `CrossDConv`.

    Shapes: `(batch, in_channels, *spatial)` → logits `(batch, out_channels, *spatial)`, any size: what the strides do
    not divide is padded by repeating the border, and cut off again. In training with deep supervision a list, from fine
    to coarse, for MONAI's `DeepSupervisionLoss`.

    Raises:
        CrossDError: for a depth that does not exist, an unknown option, a stem that interpolation cannot undo, or
            another number of decoder channels than blocks.

    >>> network = CrossDUNet(3, in_channels=1, out_channels=3, depth=10, width=4, deep_supervision=2)
    >>> import torch
    >>> [tuple(answer.shape) for answer in network(torch.rand(2, 1, 32, 32, 32))]
    [(2, 3, 32, 32, 32), (2, 3, 16, 16, 16), (2, 3, 8, 8, 8)]
    >>> network.eval()(torch.rand(1, 1, 30, 21, 19)).shape
    torch.Size([1, 3, 30, 21, 19])
    """

    pretrained_part: ClassVar[str] = "encoder"  # what `load_pretrained` gives a classifier's weights to
    head_part: ClassVar[str] = "heads"

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        depth: int = 18,
        width: int = 64,
        conv1_t_size: int = 7,
        conv1_t_stride: int = 2,
        no_max_pool: bool = False,
        decoder_channels: list[int] | tuple[int, ...] | None = None,
        norm: str | tuple = "batch",
        act: str | tuple = "relu",
        dropout: float = 0.0,
        deep_supervision: int = 0,
        encoder: str = "CrossDResNet",
        **layer_options: Any,
    ) -> None:
        super().__init__()
        if conv1_t_stride < 1 or conv1_t_stride & (conv1_t_stride - 1):
            raise CrossDError(
                f"The stride of a U-Net's stem must be 1, 2, 4 …, because the decoder doubles sizes; got "
                f"{conv1_t_stride}. Choose conv1_t_stride=2."
            )
        chosen = classifier_arguments({}, {"network": encoder})
        resnet = dict(depth=depth, width=width, conv1_t_size=conv1_t_size, conv1_t_stride=conv1_t_stride)
        if "variant" not in chosen:
            chosen |= {**resnet, "no_max_pool": no_max_pool}
        built = build_classifier(
            {"spatial_dims": spatial_dims, "in_channels": in_channels, "num_classes": 1, **chosen, **layer_options}
        )
        for name in built.after_stages:
            setattr(built, name, nn.Identity())
        self.encoder = built
        self.joined, self.stride = _joins(built.feature_strides)
        channels = [*built.feature_channels, 0, in_channels]  # of no map (-2) and of the image (-1) at the end
        joining = [channels[index] for index in self.joined]
        widths = list(decoder_channels or (channels[max(index, 0)] for index in self.joined))
        if len(widths) != len(joining) or min(widths) < 1:
            raise CrossDError(
                f"A decoder has a number of channels for each of its {len(joining)} blocks, from coarse to fine; got "
                f"{decoder_channels}. Leave decoder_channels out, or name so many."
            )
        if not 0 <= deep_supervision < len(widths):
            raise CrossDError(
                f"deep_supervision is a number of scales coarser than the finest, 0 to {len(widths) - 1} for this "
                f"network; got {deep_supervision}. Choose one of these."
            )
        with crossd_convs(**layer_options):
            entering = [channels[len(channels) - 3], *widths[:-1]]
            self.decoder = nn.ModuleList(
                UpCat(
                    spatial_dims,
                    above,
                    beside,
                    out,
                    act=act,
                    norm=norm,
                    bias=False,
                    dropout=dropout,
                    upsample="nontrainable",
                    align_corners=False,
                    is_pad=False,
                )
                for above, beside, out in zip(entering, joining, widths, strict=True)
            )
            finest_first = widths[::-1][: 1 + deep_supervision]
            self.heads = nn.ModuleList(Conv[Conv.CONV, spatial_dims](wide, out_channels, 1) for wide in finest_first)

    def forward(self, x: Tensor) -> Union[Tensor, list[Tensor]]:  # noqa: UP007  torch.jit reads it
        """`(batch, in_channels, *spatial)` → `(batch, out_channels, *spatial)`; in training also coarser ones."""
        size = x.shape[2:]
        x = self._padded(x)
        features = self.encoder.feature_maps(x)
        y = features[-1]
        maps = [y]
        for index, block in enumerate(self.decoder):
            skip: Tensor | None = None
            if self.joined[index] >= 0:
                skip = features[self.joined[index]]
            elif self.joined[index] == -1:  # the image
                skip = x
            y = block(y, skip)
            maps.append(y)
        answers: list[Tensor] = []
        for level, head in enumerate(self.heads):
            if level == 0 or self.training:
                answer = head(maps[len(maps) - 1 - level])
                for axis, length in enumerate(size):
                    answer = answer.narrow(2 + axis, 0, (length + (1 << level) - 1) >> level)
                answers.append(answer)
        if len(answers) > 1:
            return answers
        return answers[0]

    def _padded(self, x: Tensor) -> Tensor:
        """Every axis a multiple of the largest stride, by repeating the voxels at its end."""
        pads: list[int] = []
        for axis in range(x.dim() - 1, 1, -1):
            pads += [0, -x.shape[axis] % self.stride]
        return F.pad(x, pads, "replicate") if max(pads) > 0 else x


def _joins(strides: Sequence[int]) -> tuple[list[int], int]:
    """For each block of the decoder, from coarse to fine, what it joins, and the largest stride.

    An index of the encoder's maps (of equal ones the last), `IMAGE`, or `NOTHING`.

    >>> _joins((2, 2, 4, 8, 16)), _joins((1, 1, 2, 4, 8)), _joins((4, 8, 16, 32, 64))
    (([3, 2, 1, -1], 16), ([3, 2, 1], 8), ([3, 2, 1, 0, -2, -1], 64))
    """
    of_stride = {1: IMAGE} | {stride: index for index, stride in enumerate(strides)}
    joined = []
    stride = strides[-1]
    while stride > 1:
        stride //= 2
        joined.append(of_stride.get(stride, NOTHING))
    return joined, strides[-1]
