"""Networks whose encoders are pre-trained: each gives feature maps, and keeps its weights under its own names.

The decoder and the head that a network has for its own task are left out while it is pre-trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any

from monai.networks.nets import SegResNet, SwinUNETR, UNet
from torch import Tensor, nn

from crossd.callers import monai_command
from crossd.checkpoints import TransferReport, load_pretrained
from crossd.conv import crossd_convs
from crossd.errors import CrossDError, one_of, report_plainly
from crossd.networks import CrossDResNet, PlainResNet
from crossd.networks.classifiers import encoder_arguments
from crossd.training.pretrained import PretrainedCheckpointLoader


class Encoder(nn.Module):
    """A network as what gives feature maps.

    Attributes:
        net: the network, without what comes after its encoder. Its state dict is what a checkpoint holds.
    """

    net: nn.Module

    def forward(self, x: Tensor) -> list[Tensor]:
        """`(batch, channel, depth, height, width)` to feature maps, coarse to fine."""
        raise NotImplementedError


class ResNetEncoder(Encoder):
    """`CrossDResNet`, or `PlainResNet`, without its last layer."""

    def __init__(self, in_channels: int, conv: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        kind = CrossDResNet if conv == "crossd" else PlainResNet
        network: Any = kind(3, in_channels, 1, **options)
        network.fc = nn.Identity()
        self.net = network

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.net.feature_maps(x))[::-1]  # type: ignore[operator]


class SegResNetEncoder(Encoder):
    """MONAI's SegResNet: `convInit` and `down_layers`."""

    def __init__(self, in_channels: int, conv: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        with _layers(conv):
            self.net: Any = SegResNet(
                spatial_dims=3, in_channels=in_channels, **encoder_arguments("segresnet", options)
            )
        del self.net.up_layers, self.net.up_samples, self.net.conv_final

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.net.encode(x)[1])[::-1]


class UNetEncoder(Encoder):
    """MONAI's UNet: the way down, and the bottom. Batch norms unless `norm` says otherwise."""

    def __init__(self, in_channels: int, conv: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        arguments = {"out_channels": 1, **encoder_arguments("unet", options)}
        with _layers(conv):
            self.net: Any = UNet(spatial_dims=3, in_channels=in_channels, **arguments)
        block: Any = self.net.model
        while isinstance(block, nn.Sequential) and len(block) == 3:  # way down, what lies below, way up
            block[2] = nn.Identity()
            block = block[1].submodule

    def forward(self, x: Tensor) -> list[Tensor]:
        maps, block = [], self.net.model
        while isinstance(block, nn.Sequential) and len(block) == 3:
            x = block[0](x)
            maps.append(x)
            block = block[1].submodule
        return [block(x), *maps[::-1]]


class SwinUNETREncoder(Encoder):
    """MONAI's SwinUNETR: its transformer, `swinViT`, which is what its published self-supervision trains too."""

    def __init__(self, in_channels: int, conv: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        if conv == "crossd":
            raise CrossDError(
                "A transformer has no convolutions to be replaced, got conv 'crossd' for swinunetr. Leave --conv out."
            )
        if find_spec("einops") is None:
            raise CrossDError(
                "MONAI's SwinUNETR needs the package einops, which is not installed. Install it, pip install "
                "'crossd[transformers]', or choose another --encoder."
            )
        arguments = encoder_arguments("swinunetr", options)
        self.net: Any = SwinUNETR(in_channels=in_channels, out_channels=1, spatial_dims=3, **arguments)
        for name, _ in list(self.net.named_children()):
            if name != "swinViT":
                delattr(self.net, name)

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(self.net.swinViT(x, self.net.normalize))[::-1]


ENCODERS: dict[str, type[Any]] = {
    "crossd": ResNetEncoder,
    "segresnet": SegResNetEncoder,
    "unet": UNetEncoder,
    "swinunetr": SwinUNETREncoder,
}
CONVS = ("crossd", "plain")


def build_encoder(name: str, in_channels: int, options: Mapping[str, Any], conv: str | None = None) -> Encoder:
    """A 3D encoder with random weights.

    Args:
        name: `"crossd"` (CrossDResNet), `"segresnet"`, `"unet"` or `"swinunetr"`.
        options: arguments of the network but dimensions and channels in and out. `width` is `CrossDResNet`'s; for the
            others it sets the channels of the finest level (`init_filters`, `channels`, `feature_size`).
        conv: `"crossd"` or `"plain"` convolutions; None for what is usual in that network.

    Raises:
        CrossDError: for another name, options that the network refuses, and when MONAI is to export it.

    >>> import torch
    >>> maps = build_encoder("unet", 1, {"width": 4}).eval()(torch.zeros(1, 1, 32, 32, 32))
    >>> [tuple(feature.shape[1:]) for feature in maps]
    [(64, 2, 2, 2), (32, 2, 2, 2), (16, 4, 4, 4), (8, 8, 8, 8), (4, 16, 16, 16)]
    """
    if monai_command() is not None:
        report_plainly()
        raise CrossDError(
            "An export answers something; a self-supervised encoder, got one to export by MONAI, has no classes yet. "
            "Fine-tune it with configs/train.json first."
        )
    kind = ENCODERS[one_of("encoder", name, ENCODERS)]
    conv = one_of("conv", conv or ("crossd" if name == "crossd" else "plain"), CONVS)
    try:
        return kind(in_channels, conv, options)  # type: ignore[no-any-return]
    except (TypeError, ValueError) as error:
        if isinstance(error, CrossDError):
            raise
        raise CrossDError(
            f"The options of an encoder are arguments of its network; {name} got {dict(options)}: {error}. Correct "
            "--depth, --width or --network_options."
        ) from error


def _layers(conv: str) -> Any:
    return crossd_convs() if conv == "crossd" else nullcontext()


class EncoderCheckpointLoader(PretrainedCheckpointLoader):
    """`PretrainedCheckpointLoader` of an encoder, which has to fit whole."""

    def __init__(self, encoder: Encoder, weights: str | None, fill: str | None = None) -> None:
        super().__init__(encoder.net, weights, (), fill=fill)

    def load(self, content: Mapping[str, Any], card: Mapping[str, Any]) -> TransferReport:
        return load_pretrained(self.network, content, fill=self.fill)
