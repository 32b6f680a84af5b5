"""`CrossDResNet`: MONAI's ResNet built from Cross-D convolutions, key for key, and its plain twin."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from monai.networks.nets import ResNet
from torch import Tensor, nn

from crossd.conv import crossd_convs
from crossd.errors import one_of

# depth -> (block, blocks per stage), as in He et al. 2015 (18-101) and MedicalNet (10)
STAGES: dict[int, tuple[str, list[int]]] = {
    10: ("basic", [1, 1, 1, 1]),
    18: ("basic", [2, 2, 2, 2]),
    34: ("basic", [3, 4, 6, 3]),
    50: ("bottleneck", [3, 4, 6, 3]),
    101: ("bottleneck", [3, 4, 23, 3]),
}


class FeatureMaps(ResNet):
    """A ResNet that also shows its stages, for decoders: those of segmentation and of self-supervision."""

    __jit_unused_properties__: ClassVar = ["feature_channels", "feature_strides", "num_features"]
    last_stage: ClassVar[str] = "layer4"  # the module whose map is pooled
    after_stages: ClassVar[tuple[str, ...]] = ("fc",)  # what `feature_maps` does without
    convolutions: ClassVar[Callable[..., AbstractContextManager]] = staticmethod(nullcontext)  # what it is built under
    stages: ClassVar = [["conv1", "bn1"], ["layer1"], ["layer2"], ["layer3"], ["layer4"]]  # from the input on

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        num_classes: int,
        depth: int = 18,
        width: int = 64,
        conv1_t_size: int = 7,
        conv1_t_stride: int = 2,
        no_max_pool: bool = False,
        **layer_options: Any,
    ) -> None:
        one_of("spatial_dims", spatial_dims, (2, 3))
        block, layers = STAGES[one_of("depth", depth, STAGES)]
        with self.convolutions(**layer_options):
            super().__init__(
                block,
                layers,
                [width * factor for factor in (1, 2, 4, 8)],
                spatial_dims=spatial_dims,
                n_input_channels=in_channels,
                conv1_t_size=conv1_t_size,
                conv1_t_stride=conv1_t_stride,
                no_max_pool=no_max_pool,
                shortcut_type="B",
                num_classes=num_classes,
                bias_downsample=False,
            )

    @property
    def feature_channels(self) -> tuple[int, ...]:
        """Channels of the `feature_maps`, from the stem to the last stage.

        >>> PlainResNet(3, in_channels=1, num_classes=2, depth=10, width=8).feature_channels
        (8, 8, 16, 32, 64)
        """
        widths = [_out_channels(stage) for stage in (self.layer1, self.layer2, self.layer3, self.layer4)]
        return (self.conv1.out_channels, *widths)

    @property
    def feature_strides(self) -> tuple[int, ...]:
        """By how much the sides of the `feature_maps` are divided, rounded up; those of the image's plane.

        >>> PlainResNet(2, in_channels=1, num_classes=2, depth=10, width=8).feature_strides
        (2, 4, 8, 16, 32)
        """
        stem = self.conv1.stride[-1]
        first = stem if self.no_max_pool else 2 * stem
        return (stem, first, 2 * first, 4 * first, 8 * first)

    @property
    def num_features(self) -> int:
        """Channels of `final_map` and `pooled_features`."""
        return self.feature_channels[-1]

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """What the stem and the four stages give for `(batch, in_channels, *spatial)`, fine to coarse.

        Returns:
            Five maps `(batch, channel, *size)` of the `feature_channels`. Sides are those of `x` divided, rounded up,
            by `conv1_t_stride`; then by 2 more unless `no_max_pool`; then by 2 more in each stage after the first.

        >>> import torch
        >>> network = PlainResNet(3, in_channels=1, num_classes=2, depth=10, width=8, no_max_pool=True).eval()
        >>> [tuple(feature.shape[1:]) for feature in network.feature_maps(torch.rand(1, 1, 16, 16, 16))]
        [(8, 8, 8, 8), (8, 8, 8, 8), (16, 4, 4, 4), (32, 2, 2, 2), (64, 1, 1, 1)]
        """
        stem = self.act(self.bn1(self.conv1(x)))
        one = self.layer1(stem if self.no_max_pool else self.maxpool(stem))
        two = self.layer2(one)  # no loop: TorchScript unrolls none over several modules
        three = self.layer3(two)
        return [stem, one, two, three, self.layer4(three)]

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `(batch, num_classes)`, and from the same pass features `(batch, channels of the four stages)`.

        Of each stage they are the mean over space, divided by its length.

        >>> import torch
        >>> network = PlainResNet(3, in_channels=1, num_classes=2, depth=10, width=8).eval()
        >>> logits, features = network.with_features(volumes := torch.rand(2, 1, 32, 32, 32))
        >>> features.shape, torch.equal(logits, network(volumes))
        (torch.Size([2, 120]), True)
        """
        stages = self.feature_maps(x)[1:]
        logits: Tensor = self.get_submodule("fc")(self.avgpool(stages[-1]).flatten(1))
        return logits, torch.cat([nn.functional.normalize(stage.flatten(2).mean(2)) for stage in stages], 1)

    def final_map(self, x: Tensor) -> Tensor:
        """The map that is pooled: `(batch, in_channels, *spatial)` → `(batch, num_features, *size)`."""
        return self.feature_maps(x)[4]

    def pooled_features(self, x: Tensor) -> Tensor:
        """What the last layer sees: `(batch, in_channels, *spatial)` → `(batch, num_features)`."""
        return self.avgpool(self.final_map(x)).flatten(1)  # type: ignore[no-any-return]


class CrossDResNet(FeatureMaps):
    """A ResNet classifier whose one set of 3D kernels serves images and volumes.

    Parameter names are those of torchvision's ResNets and of MONAI's
    `resnetN(conv1_t_stride=2, bias_downsample=False, shortcut_type="B")`, so their weights, and those of official
    Cross-D checkpoints, load with `crossd.load_pretrained`. `net3d.load_state_dict(net2d.state_dict())` inflates a
    network.

    Args:
        spatial_dims: 2 or 3.
        depth: 10, 18, 34, 50 or 101.
        width: channels of the first stage (64 in the original); the others have 2, 4 and 8 times as many.
        conv1_t_size, conv1_t_stride, no_max_pool: the stem, as in MONAI's ResNet.
        layer_options: `alignment`, `motion`, `view`, `momentum`, `max_angle` of `CrossDConv`.

    Shapes: `(batch, in_channels, *spatial)` → logits `(batch, num_classes)`.

    Raises:
        CrossDError: for a depth that does not exist, or an unknown option.

    >>> import torch
    >>> image_net = CrossDResNet(2, in_channels=3, num_classes=5, width=8)
    >>> volume_net = CrossDResNet(3, in_channels=3, num_classes=5, width=8)
    >>> volume_net.load_state_dict(image_net.state_dict())
    <All keys matched successfully>
    >>> volume_net.eval()(torch.randn(1, 3, 32, 32, 32)).shape
    torch.Size([1, 5])
    """

    convolutions = staticmethod(crossd_convs)


class PlainResNet(FeatureMaps):
    """The ResNet of the same shape with plain convolutions: what I3D and ACS start from, and what 2D is compared with.

    The same arguments, parameter names and errors as `CrossDResNet`, without layer options.

    >>> PlainResNet(2, in_channels=1, num_classes=3, depth=10, width=8).conv1
    Conv2d(1, 8, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)
    """


def _out_channels(stage: nn.Module) -> int:
    """Of a stage of basic blocks (two convolutions) or bottlenecks (three): of its last convolution."""
    return [layer for layer in stage.modules() if hasattr(layer, "out_channels")][-1].out_channels  # type: ignore[return-value]
