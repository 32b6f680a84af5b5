"""load_pretrained: what does not fit is an error that says why, and leaves the network as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from crossd.checkpoints import load_pretrained, save_checkpoint
from crossd.conv import CrossDConv
from crossd.errors import CrossDError
from crossd.networks import CrossDResNet
from monai.networks.nets import DenseNet, ResNet
from torch import Tensor, nn


def _resnet(
    width: int = 8, layers: tuple[int, ...] = (2, 2, 2, 2), block: str = "basic", **options: Any
) -> dict[str, Tensor]:
    widths = [width * factor for factor in (1, 2, 4, 8)]
    settings: dict[str, Any] = {
        "spatial_dims": 2,
        "n_input_channels": 3,
        "num_classes": 5,
        "bias_downsample": False,
        **options,
    }
    return ResNet(block, list(layers), widths, **settings).state_dict()


def _without(state: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name not in names}


CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "wider": (
        lambda: _resnet(width=16),
        r"torchvision 2D ResNet checkpoint fits 21 of 122 entries of CrossDResNet\. Of another shape: conv1\.weight "
        r"\(\(16, 3, 7, 7\) in the checkpoint, \(8, 3, 7, 7, 7\) in the network\).*Build the network with the depth",
    ),
    "deeper": (
        lambda: _resnet(layers=(3, 4, 6, 3)),
        r"fits 122 of 122 entries of CrossDResNet\. Not in the network: layer1\.2\.conv1\.weight, .*and \d+ more\.",
    ),
    "bottleneck": (
        lambda: _resnet(block="bottleneck"),
        r"Of another shape: layer1\.0\.conv1\.weight.*Not in the network: ",
    ),
    "DenseNet": (
        lambda: DenseNet(2, 3, 5, init_features=8, growth_rate=4, block_config=(2, 2)).state_dict(),
        r"plain 2D checkpoint fits 0 of 100 entries of CrossDResNet\. Missing in the checkpoint: conv1\.weight, ",
    ),
    "one layer missing": (
        lambda: _without(_resnet(), "layer3.1.conv2.weight"),
        r"Missing in the checkpoint: layer3\.1\.conv2\.weight\. Build.*allow_missing=\[",
    ),
    "statistics missing": (
        lambda: _without(_resnet(), "bn1.running_mean"),
        r"fits 121 of 122 entries of CrossDResNet\. Missing in the checkpoint: bn1\.running_mean\. Build",
    ),
    "shortcuts without parameters": (
        lambda: _resnet(shortcut_type="A"),
        r"Missing in the checkpoint: layer2\.0\.downsample\.0\.weight, .*allow_missing=\[\"\*\.downsample\.\*\"\]",
    ),
    "bias of a layer that has none": (
        lambda: _resnet(bias_downsample=True),
        r"Not in the network: layer2\.0\.downsample\.0\.bias, layer3\.0\.downsample\.0\.bias",
    ),
    "channels inside": (
        lambda: {**_resnet(), "layer1.0.conv1.weight": torch.zeros(8, 4, 3, 3)},
        r"Of another shape: layer1\.0\.conv1\.weight \(\(8, 4, 3, 3\) in the checkpoint",
    ),
    "oblong kernel": (
        lambda: {**_resnet(), "layer1.0.conv1.weight": torch.zeros(8, 8, 1, 3)},
        r"Of another shape: layer1\.0\.conv1\.weight \(\(8, 8, 1, 3\) in the checkpoint",
    ),
    "no weights": (lambda: {}, r"Weights come from a checkpoint file or a state dict; got a dict that holds none"),
    "a module": (lambda: nn.Linear(1, 1), r"got a Linear that holds none\. Pass a path, or network\.state_dict\(\)"),
    "two of one name": (
        lambda: {"conv1.weight": torch.zeros(1), "conv1.weights_3d": torch.zeros(1)},
        r"conv1\.weight, conv1\.weights_3d both mean conv1\.weight\. Remove one",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_foreign_checkpoints_are_refused_and_nothing_changes(name: str) -> None:
    build, message = CASES[name]
    network = CrossDResNet(2, 3, 5, width=8)
    before = {entry: value.clone() for entry, value in network.state_dict().items()}
    with pytest.raises(CrossDError, match=message):
        load_pretrained(network, build())
    for entry, value in network.state_dict().items():
        assert torch.equal(value, before[entry]), entry


def test_the_file_is_named(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "wide.pt", _resnet(width=16))
    with pytest.raises(CrossDError, match=r"wide\.pt: torchvision 2D ResNet checkpoint fits"):
        load_pretrained(CrossDResNet(2, 3, 5, width=8), tmp_path / "wide.pt")


def test_strict_head() -> None:
    network = CrossDResNet(2, 3, 2, width=8)
    message = (
        r"strict_head=True.*fc\.weight has 5 outputs in the checkpoint, and 2 in the network\. Build .* with 5 classes"
    )
    with pytest.raises(CrossDError, match=message):
        load_pretrained(network, _resnet(), strict_head=True)
    with pytest.raises(
        CrossDError, match=r"strict_head=True.*fc\.weight is not in the checkpoint.*Use another checkpoint"
    ):
        load_pretrained(network, _without(_resnet(), "fc.weight", "fc.bias"), strict_head=True)


def test_head_with_other_features_is_another_architecture() -> None:
    with pytest.raises(CrossDError, match=r"Of another shape: fc\.weight \(\(5, 60\) in the checkpoint, \(5, 64\)"):
        load_pretrained(CrossDResNet(2, 3, 5, width=8), {**_resnet(), "fc.weight": torch.zeros(5, 60)})


def test_single_layers() -> None:
    with pytest.raises(
        CrossDError, match=r"plain 2D checkpoint fits 1 of 1 entries of CrossDConv\. Not in the network: bias"
    ):
        load_pretrained(CrossDConv(2, 2, 3, 3, bias=False), nn.Conv2d(2, 3, 3).state_dict())
    with pytest.raises(
        CrossDError, match=r"weight \(\(3, 2, 3, 3, 3\) in the checkpoint, \(3, 2, 3, 3\) in the network\)"
    ):
        load_pretrained(nn.Conv2d(2, 3, 3), CrossDConv(2, 2, 3, 3).state_dict())


def test_unknown_fill() -> None:
    with pytest.raises(CrossDError, match="`fill` must be one of 'centre', 'mean', 'tomographic'; got 'edge'"):
        load_pretrained(nn.Conv3d(1, 1, 3), nn.Conv2d(1, 1, 3).state_dict(), fill="edge")


def test_weights_of_another_motion(tmp_path: Path) -> None:
    source = CrossDConv(2, 2, 3, 3, motion="rotate")
    torch.save({"model": source.state_dict(), "card": {"network": {"motion": "rotate"}}}, tmp_path / "rotate.pt")
    message = (
        r"rotate\.pt: its card says motion='rotate', but the layer has 'shift'\. Build the network with motion='rotate'"
    )
    with pytest.raises(CrossDError, match=message):
        load_pretrained(CrossDConv(3, 2, 3, 3), tmp_path / "rotate.pt")
    load_pretrained(CrossDConv(3, 2, 3, 3, motion="rotate"), tmp_path / "rotate.pt")
    load_pretrained(CrossDConv(3, 2, 3, 3, alignment="raw"), tmp_path / "rotate.pt")
