"""`CrossDEfficientNetLite`: EfficientNet-Lite whose spatial convolutions are Cross-D, and its plain twin."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from monai.networks.layers import Conv, Pool
from torch import Tensor, fx, nn

from crossd.conv import crossd_convs
from crossd.errors import one_of
from crossd.networks.lite_blocks import (
    DepthwiseSeparable,
    InvertedResidual,
    channels_last,
    initialise,
    lite_norm,
    same_padded,
)

# variant -> width and depth coefficient, side of the images that it was trained on, dropout
VARIANTS: dict[str, tuple[float, float, int, float]] = {
    "lite0": (1.0, 1.0, 224, 0.2),
    "lite1": (1.0, 1.1, 240, 0.2),
    "lite2": (1.1, 1.2, 260, 0.3),
}
STEM, WIDEST = 32, 1280  # channels of the first and the last convolution, which Lite does not scale
# kernel, stride, expansion, channels and repeats of each stage of lite0
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
fx.wrap("same_padded")  # one operation where batch norms are fused, in each module that calls it
fx.wrap("channels_last")


class LiteFeatureMaps(nn.Module):
    """An EfficientNet-Lite classifier that also shows its stages and what it pools.

    Names are those of timm's `tf_efficientnet_lite*`; the last layer is `fc`, as in ResNets.
    """

    __jit_unused_properties__: ClassVar = ["feature_channels", "feature_strides", "num_features"]
    last_stage: ClassVar[str] = "act2"  # the module whose map is pooled
    after_stages: ClassVar[tuple[str, ...]] = ("conv_head", "bn2", "fc")  # what `feature_maps` does without
    convolutions: ClassVar[Callable[..., AbstractContextManager]] = staticmethod(nullcontext)  # what it is built under
    stages: ClassVar = [["conv_stem", "bn1"], *([f"blocks.{i}"] for i in range(len(_STAGES))), ["conv_head", "bn2"]]

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        num_classes: int,
        variant: str = "lite0",
        dropout: float | None = None,
        **layer_options: Any,
    ) -> None:
        super().__init__()
        one_of("spatial_dims", spatial_dims, (2, 3))
        width, depth, _, usual = VARIANTS[one_of("variant", variant, VARIANTS)]
        with self.convolutions(**layer_options):
            self.conv_stem = Conv[Conv.CONV, spatial_dims](in_channels, STEM, 3, stride=2, bias=False)
            self.bn1 = lite_norm(spatial_dims, STEM)
            self.act1 = nn.ReLU6(inplace=True)
            self._channels = [_rounded(stage[3] * width) for stage in _STAGES]
            stages: list[nn.Module] = []
            entering = STEM
            for index, (kernel, stride, expansion, _, repeats) in enumerate(_STAGES):
                inner, channels = 0 < index < len(_STAGES) - 1, self._channels[index]
                blocks: list[nn.Module] = []
                for number in range(math.ceil(repeats * depth) if inner else repeats):  # the ends are not scaled
                    step = stride if number == 0 else 1
                    blocks.append(
                        InvertedResidual(spatial_dims, entering, channels, kernel, step, expansion)
                        if expansion > 1
                        else DepthwiseSeparable(spatial_dims, entering, channels, kernel)
                    )
                    entering = channels
                stages.append(nn.Sequential(*blocks))
            self.blocks = nn.ModuleList(stages)
            self.conv_head = Conv[Conv.CONV, spatial_dims](entering, WIDEST, 1, bias=False)
            self.bn2 = lite_norm(spatial_dims, WIDEST)
            self.act2 = nn.ReLU6()  # not in place: hooks of Grad-CAM look at it
            self.avgpool = Pool[Pool.ADAPTIVEAVG, spatial_dims](1)
            self.dropout = nn.Dropout(usual if dropout is None else dropout)
            self.fc = nn.Linear(WIDEST, num_classes)
        initialise(self)

    @property
    def feature_channels(self) -> tuple[int, ...]:
        """Channels of the `feature_maps`, fine to coarse.

        >>> PlainEfficientNetLite(2, in_channels=1, num_classes=2, variant="lite2").feature_channels
        (16, 24, 48, 120, 352)
        """
        return (*self._channels[:3], self._channels[4], self._channels[6])

    @property
    def feature_strides(self) -> tuple[int, ...]:
        """By how much the sides of the `feature_maps` are divided, rounded up."""
        return (2, 4, 8, 16, 32)

    @property
    def num_features(self) -> int:
        """Channels of `final_map` and `pooled_features`."""
        return WIDEST

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """What the last stage of each size gives for `(batch, in_channels, *spatial)`, fine to coarse.

        Returns:
            Five maps `(batch, channel, *size)` of the `feature_channels` and `feature_strides`.

        >>> import torch
        >>> network = PlainEfficientNetLite(3, in_channels=1, num_classes=2).eval()
        >>> [tuple(feature.shape[1:]) for feature in network.feature_maps(torch.rand(1, 1, 32, 32, 33))]
        [(16, 16, 16, 17), (24, 8, 8, 9), (40, 4, 4, 5), (112, 2, 2, 3), (320, 1, 1, 2)]
        """
        x = channels_last(self.act1(self.bn1(self.conv_stem(same_padded(x, 3, 2)))))
        maps: list[Tensor] = []
        for index, stage in enumerate(self.blocks):
            x = stage(x)
            if index != 3 and index != 5:  # the next stage has the same size
                maps.append(x)
        return maps

    def final_map(self, x: Tensor) -> Tensor:
        """The map that is pooled: `(batch, in_channels, *spatial)` → `(batch, num_features, *size)`."""
        return self._head(self.feature_maps(x)[4])

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and from the same pass features `(batch, sum(feature_channels) + num_features)`.

        They are of each of the `feature_maps` and of `final_map` the mean over space, divided by its length.

        >>> import torch
        >>> network = PlainEfficientNetLite(3, in_channels=1, num_classes=2).eval()
        >>> logits, features = network.with_features(volumes := torch.rand(2, 1, 32, 32, 32))
        >>> features.shape, torch.equal(logits, network(volumes))
        (torch.Size([2, 1792]), True)
        """
        maps = self.feature_maps(x)
        maps.append(self._head(maps[4]))
        logits: Tensor = self.fc(self.dropout(self.avgpool(maps[5]).flatten(1)))
        return logits, torch.cat([nn.functional.normalize(each.flatten(2).mean(2)) for each in maps], 1)

    def pooled_features(self, x: Tensor) -> Tensor:
        """What the last layer sees: `(batch, in_channels, *spatial)` → `(batch, num_features)`."""
        return self.avgpool(self.final_map(x)).flatten(1)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, in_channels, *spatial)` → logits `(batch, num_classes)`."""
        return self.fc(self.dropout(self.pooled_features(x)))  # type: ignore[no-any-return]

    def _head(self, x: Tensor) -> Tensor:
        return self.act2(self.bn2(self.conv_head(x)))  # type: ignore[no-any-return]


class CrossDEfficientNetLite(LiteFeatureMaps):
    """An EfficientNet-Lite classifier whose one set of 3D kernels serves images and volumes.

    MBConv blocks without squeeze-and-excitation, with ReLU6 (Tan and Le, arXiv 1905.11946; Liu 2020,
    github.com/tensorflow/tpu, efficientnet/lite). The first and the depthwise convolutions are `CrossDConv`; the
    pointwise ones are K = 1, where nothing moves. Layers of stride 2 are padded as TensorFlow pads (`same_padded`),
    as real weights need it; the predictors see these zeros too. `crossd.pretrained("efficientnet-lite0")` is ImageNet's
    weights, for `crossd.load_pretrained`; `net3d.load_state_dict(net2d.state_dict())` inflates a network.

    Args:
        spatial_dims: 2 or 3.
        variant: "lite0", "lite1" or "lite2", trained on images of 224, 240 and 260 pixels.
        dropout: before the last layer; None: that of the variant, 0.2, 0.2 and 0.3. There is no stochastic depth.
        layer_options: `alignment`, `motion`, `view`, `momentum`, `max_angle` of `CrossDConv`.

    Shapes: `(batch, in_channels, *spatial)`, any size → logits `(batch, num_classes)`.

    Raises:
        CrossDError: for a variant that does not exist, or an unknown option.

    >>> import torch
    >>> image_net = CrossDEfficientNetLite(2, in_channels=3, num_classes=5)
    >>> volume_net = CrossDEfficientNetLite(3, in_channels=3, num_classes=5)
    >>> volume_net.load_state_dict(image_net.state_dict())
    <All keys matched successfully>
    >>> volume_net.eval()(torch.randn(1, 3, 32, 32, 32)).shape
    torch.Size([1, 5])
    """

    convolutions = staticmethod(crossd_convs)


class PlainEfficientNetLite(LiteFeatureMaps):
    """The same network of plain convolutions: what inflation starts from, and what 2D is compared with.

    The same arguments, parameter names and errors as `CrossDEfficientNetLite`, without layer options.

    >>> PlainEfficientNetLite(2, in_channels=3, num_classes=5).blocks[2][0].conv_dw
    Conv2d(144, 144, kernel_size=(5, 5), stride=(2, 2), groups=144, bias=False)
    """


def _rounded(channels: float) -> int:
    """To a multiple of 8, by at most a tenth down.

    >>> [_rounded(1.1 * channels) for channels in (16, 24, 40, 80, 112, 192, 320)]
    [16, 24, 48, 88, 120, 208, 352]
    """
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near
