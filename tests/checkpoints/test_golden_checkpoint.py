"""The official-layout checkpoint gives the numbers of the official code, in 2D and by raw inflation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from crossd.checkpoints import load_pretrained, read_checkpoint
from crossd.conv import CrossDConv, fold
from crossd.networks import CrossDResNet
from monai.networks.nets import ResNet
from torch import nn


@pytest.fixture(scope="module")
def golden() -> Path:
    return Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module")
def checkpoint(golden: Path) -> Path:
    return golden / "narrow_resnet18_official_layout.pth"


@pytest.fixture(scope="module")
def outputs(golden: Path) -> dict[str, torch.Tensor]:
    with np.load(golden / "narrow_resnet18_outputs.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def _plain_resnet(spatial_dims: int) -> nn.Module:
    return ResNet(
        "basic",
        [2, 2, 2, 2],
        [8, 16, 32, 64],
        spatial_dims=spatial_dims,
        n_input_channels=3,
        conv1_t_stride=2,
        num_classes=5,
        bias_downsample=False,
    )


def test_2d_logits(checkpoint: Path, outputs: dict[str, torch.Tensor]) -> None:
    network = CrossDResNet(2, 3, 5, width=8)
    report = load_pretrained(network, checkpoint)
    torch.testing.assert_close(network.eval()(outputs["image"]), outputs["logits_2d"], atol=1e-5, rtol=0)
    assert report.layout == "official Cross-D"
    assert report.inflated + report.adapted + report.reinitialised == ()


def test_3d_logits_of_the_raw_transfer(checkpoint: Path, outputs: dict[str, torch.Tensor]) -> None:
    network = CrossDResNet(3, 3, 5, width=8, alignment="raw")
    load_pretrained(network, checkpoint)
    expected = outputs["logits_3d_raw_inflation"]
    torch.testing.assert_close(network.eval()(outputs["volume"]), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(fold(network)(outputs["volume"]), expected, atol=1e-5, rtol=0)


def test_raw_transfer_into_plain_convolutions(checkpoint: Path, outputs: dict[str, torch.Tensor]) -> None:
    network = _plain_resnet(3)
    report = load_pretrained(network, checkpoint)
    expected = outputs["logits_3d_raw_inflation"]
    torch.testing.assert_close(network.eval()(outputs["volume"]), expected, atol=1e-5, rtol=0)
    assert len(report.transferred) == len(network.state_dict())
    assert all(".rotation_params." in name for name in report.unused)
    assert "U was copied raw (the official transfer)" in str(report)


def test_alignment_at_rest_is_not_the_raw_transfer(checkpoint: Path, outputs: dict[str, torch.Tensor]) -> None:
    network = CrossDResNet(3, 3, 5, width=8, alignment="rest")
    load_pretrained(network, checkpoint)
    assert (network.eval()(outputs["volume"]) - outputs["logits_3d_raw_inflation"]).abs().max() > 0.01


def test_every_entry_is_accounted_for(checkpoint: Path) -> None:
    network = CrossDResNet(2, 3, 5, width=8)
    report = load_pretrained(network, checkpoint)
    moving = [module for module in network.modules() if isinstance(module, CrossDConv) and module.predictor is not None]
    assert len(report.transferred) + len(report.missing) == len(network.state_dict())
    assert len(report.missing) == len(moving) == 17
    assert all(name.endswith("running_motion") for name in report.missing)
    assert len(report.unused) == 3 * 9
    assert all(".downsample.0.rotation_params." in name for name in report.unused)
    assert f"running_motion is not in the checkpoint: set to 0 (= rest); layers: {len(moving)}." in report.notes


@pytest.mark.parametrize("wrap", ["bare", "_orig_mod.", "module.", "module._orig_mod."])
def test_wrapped_and_bare_state_dicts(checkpoint: Path, outputs: dict[str, torch.Tensor], wrap: str) -> None:
    state = read_checkpoint(checkpoint)["model"]
    prefix = "" if wrap == "bare" else wrap
    network = CrossDResNet(2, 3, 5, width=8)
    load_pretrained(network, {f"{prefix}{name}": value for name, value in state.items()})
    torch.testing.assert_close(network.eval()(outputs["image"]), outputs["logits_2d"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("prefix", ["", "conv.", "backbone.stem."])
def test_a_single_official_layer_at_any_depth(checkpoint: Path, prefix: str) -> None:
    state = read_checkpoint(checkpoint)["model"]
    start = "layer1.0.conv1."
    layer = {prefix + name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
    target: nn.Module = CrossDConv(2, 8, 8, 3, padding=1, bias=False)
    network = target
    for part in reversed(prefix.split(".")[:-1]):
        network = nn.ModuleDict({part: network})
    load_pretrained(network, layer)
    whole = CrossDResNet(2, 3, 5, width=8)
    load_pretrained(whole, checkpoint)
    x = torch.randn(2, 8, 9, 9)
    torch.testing.assert_close(target.eval()(x), whole.eval().layer1[0].conv1(x))


def test_one_grey_channel_equals_three_equal_ones(checkpoint: Path) -> None:
    colour, grey = CrossDResNet(2, 3, 5, width=8), CrossDResNet(2, 1, 5, width=8)
    load_pretrained(colour, checkpoint)
    report = load_pretrained(grey, checkpoint)
    image = torch.randn(2, 1, 48, 48)
    torch.testing.assert_close(grey.eval()(image), colour.eval()(image.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4)
    assert set(report.adapted) == {"conv1.weight", "conv1.predictor.0.weight"}
    assert "summed over its 3 input channels" in str(report)
