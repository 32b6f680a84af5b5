"""load_pretrained: what comes out of the network after a transfer is what the source computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from crossd.baselines import ACSConv, Conv2_5d
from crossd.checkpoints import load_pretrained
from crossd.conv import CrossDConv, crossd_convs, fold, inflate_kernel
from crossd.networks import CrossDResNet
from monai.networks.nets import ResNet, UNet
from torch import Tensor, nn

ALIGNMENTS = ["raw", "rest", "running", "dynamic"]


def plain_resnet(
    spatial_dims: int, in_channels: int = 3, num_classes: int = 5, block: str = "basic", **options: Any
) -> nn.Module:
    """A ResNet of plain convolutions with torchvision's names, as after training."""
    layers = {"basic": [2, 2, 2, 2], "bottleneck": [3, 4, 6, 3]}[block]
    settings = {"conv1_t_stride": 2, "bias_downsample": False, **options}
    network = ResNet(block, layers, [8, 16, 32, 64], spatial_dims, in_channels, num_classes=num_classes, **settings)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def close(actual: Tensor, expected: Tensor) -> None:
    """To 1e-5 of the largest value."""
    scale = expected.abs().max().clamp(min=1)
    torch.testing.assert_close(actual / scale, expected / scale, atol=1e-5, rtol=0)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize(("motion", "view"), [("shift", "slice"), ("rotate", "slice"), ("rotate", "projection")])
def test_2d_network_gives_the_logits_of_a_plain_2d_one(alignment: str, motion: str, view: str) -> None:
    source = plain_resnet(2)
    network = CrossDResNet(2, 3, 5, width=8, alignment=alignment, motion=motion, view=view).eval()
    report = load_pretrained(network, source.state_dict())
    image = torch.randn(2, 3, 48, 48)
    close(network(image), source(image))
    assert report.layout == "torchvision 2D ResNet"
    assert len(report.inflated) == 20
    assert report.unused == ()


def test_bottleneck_network_gives_the_logits_of_a_plain_2d_one() -> None:
    source = plain_resnet(2, block="bottleneck")
    network = CrossDResNet(2, 3, 5, depth=50, width=8).eval()
    load_pretrained(network, source.state_dict())
    image = torch.randn(1, 3, 40, 40)
    close(network(image), source(image))


def test_motion_can_still_be_learned_after_the_transfer() -> None:
    layer = CrossDConv(2, 2, 3, 3)
    load_pretrained(layer, nn.Conv2d(2, 3, 3).state_dict())
    layer(torch.randn(4, 2, 9, 9)).square().sum().backward()
    assert layer.predictor[3].weight.grad[3].abs().sum() > 0


@pytest.mark.parametrize("alignment", ["raw", "rest", "running"])
@pytest.mark.parametrize("motion", ["shift", "rotate"])
def test_2d_kernel_is_the_middle_slice_of_the_3d_one(alignment: str, motion: str) -> None:
    source = plain_resnet(2)
    network = CrossDResNet(3, 3, 5, width=8, alignment=alignment, motion=motion)
    load_pretrained(network, source.state_dict())
    kernel, flat = network.layer1[0].conv1.kernel(), source.layer1[0].conv1.weight
    close(kernel, inflate_kernel(flat, "centre"))
    load_pretrained(network, source.state_dict(), fill="mean")
    close(network.layer1[0].conv1.kernel(), inflate_kernel(flat, "mean"))


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("motion", ["shift", "rotate"])
def test_3d_network_gives_the_logits_of_a_plain_3d_one(alignment: str, motion: str) -> None:
    source = plain_resnet(3, in_channels=1)
    network = CrossDResNet(3, 1, 5, width=8, alignment=alignment, motion=motion).eval()
    report = load_pretrained(network, source.state_dict())
    volume = torch.randn(1, 1, 24, 32, 40)
    close(network(volume), source(volume))
    assert report.layout == "MONAI/MedicalNet 3D ResNet"
    assert ("conv1.weight" in report.transferred) == (alignment == "raw" or motion == "rotate")


def test_medicalnet_file(tmp_path: Any) -> None:
    """`module.` before every name, a segmentation head, no classifier, one input channel."""
    source = plain_resnet(3, in_channels=1, feed_forward=False)
    state = {f"module.{name}": value for name, value in source.state_dict().items()}
    state["module.conv_seg.0.weight"] = torch.randn(64, 32, 2, 2, 2)
    torch.save({"state_dict": state}, tmp_path / "resnet_18.pth")
    network = CrossDResNet(3, 1, 2, width=8).eval()
    report = load_pretrained(network, tmp_path / "resnet_18.pth")
    assert report.unused == ("module.conv_seg.0.weight",)
    assert report.reinitialised[-2:] == ("fc.weight", "fc.bias")
    assert "fc.weight is not in the checkpoint" in str(report)
    network.fc = nn.Identity()
    volume = torch.randn(1, 1, 24, 24, 24)
    close(network(volume), source(volume))


def test_radimagenet_file(tmp_path: Any) -> None:
    """Numbers instead of names: the children of a torchvision ResNet in a row, without the classifier."""
    source = plain_resnet(2, block="bottleneck")
    children = [source.conv1, source.bn1, source.act, source.maxpool]
    backbone = nn.Sequential(*children, source.layer1, source.layer2, source.layer3, source.layer4, source.avgpool)
    torch.save(nn.ModuleDict({"backbone": backbone}).state_dict(), tmp_path / "ResNet50.pt")
    network = CrossDResNet(2, 3, 2, depth=50, width=8).eval()
    report = load_pretrained(network, tmp_path / "ResNet50.pt")
    assert report.layout == "RadImageNet 2D ResNet"
    assert report.unused == ()
    network.fc, source.fc = nn.Identity(), nn.Identity()
    image = torch.randn(1, 3, 40, 40)
    close(network(image), source(image))


def test_our_own_weights_go_from_2d_to_3d_and_back() -> None:
    flat = CrossDResNet(2, 3, 5, width=8)
    with torch.no_grad():
        for name, buffer in flat.named_buffers():
            if name.endswith("running_motion"):
                buffer.normal_(0, 0.3)
    volume, again = CrossDResNet(3, 3, 5, width=8), CrossDResNet(2, 3, 5, width=8)
    report = load_pretrained(volume, flat.state_dict())
    assert report.layout == "crossd"
    assert len(report.transferred) == len(flat.state_dict())
    load_pretrained(again, volume.state_dict())
    for name, value in flat.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_folded_network_loads_as_a_plain_3d_one() -> None:
    network = CrossDResNet(3, 1, 5, width=8, alignment="rest").eval()
    again = CrossDResNet(3, 1, 5, width=8, alignment="rest").eval()
    load_pretrained(again, fold(network).state_dict())
    volume = torch.randn(1, 1, 24, 24, 24)
    torch.testing.assert_close(again(volume), network(volume), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("fill", "mode"), [(None, "mean"), ("mean", "mean"), ("centre", "centre")])
def test_plain_3d_network_is_inflated(fill: str | None, mode: str) -> None:
    source, network = plain_resnet(2), plain_resnet(3)
    report = load_pretrained(network, source.state_dict(), fill=fill)
    close(network.layer2[0].conv1.weight, inflate_kernel(source.layer2[0].conv1.weight, mode))
    assert f"A 2D kernel was inflated along depth ('{mode}'); layers: 20." in report.notes


def test_baseline_layers() -> None:
    flat = nn.Conv2d(3, 6, 3)
    acs, planar = ACSConv(3, 6, 3), Conv2_5d(3, 6, 3)
    assert load_pretrained(acs, flat.state_dict()).transferred == ("weight", "bias")
    assert load_pretrained(planar, flat.state_dict()).inflated == ("weight",)
    assert torch.equal(acs.weight, flat.weight)
    assert torch.equal(planar.weight, flat.weight.unsqueeze(2))


def test_depth_of_a_plain_kernel_may_differ() -> None:
    flat, layer = nn.Conv2d(1, 2, 7), nn.Conv3d(1, 2, (3, 7, 7))
    load_pretrained(layer, flat.state_dict(), fill="centre")
    assert torch.equal(layer.weight[:, :, 1], flat.weight)
    assert layer.weight[:, :, 0].abs().sum() == 0


def test_pointwise_cross_d_weight_goes_into_a_plain_2d_convolution() -> None:
    crossd, plain = CrossDConv(2, 3, 4, 1), nn.Conv2d(3, 4, 1)
    load_pretrained(plain, crossd.state_dict())
    image = torch.randn(1, 3, 5, 5)
    close(plain(image), crossd(image))


def test_transposed_convolutions_are_named() -> None:
    def unet(spatial_dims: int) -> nn.Module:
        with crossd_convs():
            return UNet(spatial_dims, 1, 2, (4, 8, 16), (2, 2), num_res_units=1)

    flat, volume = unet(2), unet(3)
    report = load_pretrained(volume, flat.state_dict())
    transposed = [name for name, module in volume.named_modules() if isinstance(module, nn.ConvTranspose3d)]
    assert len(transposed) == 2
    assert set(report.reinitialised) == {f"{name}.{entry}" for name in transposed for entry in ("weight", "bias")}
    assert set(report.unused) == set(report.reinitialised)
    assert "Transposed convolutions have no 2D/3D counterpart: initialised afresh; layers: 2." in report.notes
    for name, value in flat.state_dict().items():
        if name not in report.reinitialised:
            assert torch.equal(volume.state_dict()[name], value), name
    assert unet(2).load_state_dict(flat.state_dict())


def test_transposed_convolutions_of_the_same_dimension_are_copied() -> None:
    flat, other = nn.ConvTranspose2d(2, 3, 2), nn.ConvTranspose2d(2, 3, 2)
    assert load_pretrained(other, flat.state_dict()).transferred == ("weight", "bias")
    assert torch.equal(other.weight, flat.weight)


def test_other_number_of_classes() -> None:
    source, network = plain_resnet(2), CrossDResNet(2, 3, 2, width=8).eval()
    before = network.fc.weight.clone()
    report = load_pretrained(network, source.state_dict())
    assert report.reinitialised[-2:] == ("fc.weight", "fc.bias")
    assert report.unused == ("fc.weight", "fc.bias")
    assert "fc.weight has 5 outputs in the checkpoint, and 2 in the network" in str(report)
    assert not torch.equal(network.fc.weight, before)
    source.fc = network.fc
    image = torch.randn(1, 3, 40, 40)
    close(network(image), source(image))


def test_same_number_of_classes_keeps_the_head() -> None:
    source, network = plain_resnet(2), CrossDResNet(2, 3, 5, width=8)
    report = load_pretrained(network, source.state_dict(), strict_head=True)
    assert torch.equal(network.fc.weight, source.fc.weight)
    assert not any(name.startswith("fc.") for name in report.reinitialised)


def test_one_channel_for_three_is_exact_on_grey_images() -> None:
    source, network = plain_resnet(2, in_channels=1), CrossDResNet(2, 3, 5, width=8).eval()
    report = load_pretrained(network, source.state_dict())
    image = torch.randn(1, 1, 40, 40)
    close(network(image.expand(-1, 3, -1, -1)), source(image))
    assert report.adapted == ("conv1.weight",)


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_other_channels_are_repeated_cyclically_and_scaled(channels: int) -> None:
    source, network = plain_resnet(3), plain_resnet(3, in_channels=channels)
    report = load_pretrained(network, source.state_dict())
    for channel in range(channels):
        close(network.conv1.weight[:, channel], source.conv1.weight[:, channel % 3] * 3 / channels)
    assert "repeated cyclically and scaled by 3/" in str(report)
    assert "approximate" in str(report)


def test_convolution_without_bias_is_one_with_bias_zero() -> None:
    layer = CrossDConv(2, 2, 3, 3)
    nn.init.ones_(layer.bias)
    report = load_pretrained(layer, nn.Conv2d(2, 3, 3, bias=False).state_dict())
    assert layer.bias.abs().sum() == 0
    assert "bias" in report.missing
    assert "The checkpoint's convolution has no bias: set to 0; layers: 1." in report.notes


def test_allow_missing_keeps_what_is_named() -> None:
    """MedicalNet's ResNet-18 has shortcuts without parameters (type A)."""
    source = plain_resnet(3, in_channels=1, shortcut_type="A")
    network = CrossDResNet(3, 1, 5, width=8)
    before = network.layer2[0].downsample[0].weight.clone()
    report = load_pretrained(network, source.state_dict(), allow_missing=["*.downsample.*"])
    assert torch.equal(network.layer2[0].downsample[0].weight, before)
    assert "layer2.0.downsample.0.weight" in report.missing
    assert "kept as initialised by allow_missing; entries: 15." in str(report)


def test_wrapped_source_and_wrapped_network() -> None:
    source, network = plain_resnet(2), CrossDResNet(2, 3, 5, width=8)
    state = {f"model.{name}": value for name, value in source.state_dict().items()}
    load_pretrained(nn.DataParallel(network), state)
    assert torch.equal(network.fc.weight, source.fc.weight)


def test_half_precision_checkpoint_is_computed_in_the_networks_precision() -> None:
    flat, layer = nn.Conv2d(3, 2, 3).half(), nn.Conv3d(1, 2, 3)
    load_pretrained(layer, flat.state_dict())
    close(layer.weight, inflate_kernel(flat.weight.float().sum(1, keepdim=True)))


def test_tracked_batches_may_be_missing() -> None:
    """Checkpoints from before torch 0.4.1 do not count batches."""
    source = plain_resnet(2)
    state = {name: value for name, value in source.state_dict().items() if "num_batches" not in name}
    report = load_pretrained(plain_resnet(2), state)
    assert all(name.endswith("num_batches_tracked") for name in report.missing)


def test_report_accounts_for_every_entry_once() -> None:
    network = CrossDResNet(2, 1, 2, width=8)
    report = load_pretrained(network, {**plain_resnet(2).state_dict(), "aux.weight": torch.zeros(3)})
    lists = [report.transferred, report.inflated, report.adapted, report.reinitialised, report.missing]
    assert sorted(name for names in lists for name in names) == sorted(network.state_dict())
    assert report.unused == ("fc.weight", "fc.bias", "aux.weight")
    first, *lines = str(report).splitlines()
    counts = f"{sum(map(len, lists[:3]))} of {len(network.state_dict())}"
    assert first == f"torchvision 2D ResNet checkpoint → CrossDResNet: {counts} entries from the checkpoint"
    kinds = ["transferred", "inflated", "adapted", "reinitialised", "missing", "unused"]
    assert [line.split()[0] for line in lines[:6]] == kinds
    assert all(line.startswith("  note: ") for line in lines[6:])
