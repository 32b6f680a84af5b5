"""convert(): laws against the source network, for every target."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from crossd.baselines import ACSConv, Conv2_5d
from crossd.conv import CrossDConv, fold, inflate_kernel, set_alignment
from crossd.convert import convert
from monai.networks.nets import DenseNet, EfficientNetBN
from torch import Tensor, nn


class BasicBlock(nn.Module):
    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """Named and built as torchvision's `resnet18`, with `width` channels in the first stage."""

    def __init__(self, width: int = 8, num_classes: int = 5, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(width, width), BasicBlock(width, width))
        self.layer2 = nn.Sequential(BasicBlock(width, 2 * width, 2), BasicBlock(2 * width, 2 * width))
        self.layer3 = nn.Sequential(BasicBlock(2 * width, 4 * width, 2), BasicBlock(4 * width, 4 * width))
        self.layer4 = nn.Sequential(BasicBlock(4 * width, 8 * width, 2), BasicBlock(8 * width, 8 * width))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class UNet(nn.Module):
    """Upsamples by interpolation; the two decoder steps share one module."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.InstanceNorm2d(6, affine=True), nn.ReLU())
        self.pool = nn.AvgPool2d(2)
        self.deep = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(6, 6, 3, groups=3), nn.GroupNorm(2, 6), nn.GELU(), nn.Dropout2d(0.5)
        )
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.decode = nn.Conv2d(6, 6, 3, padding="same", padding_mode="circular")
        self.again = self.decode
        self.out = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.encode(x)
        return self.out(self.again(self.decode(skip + self.up(self.deep(self.pool(skip))))))


def lively(network: nn.Module) -> nn.Module:
    """Give the normalisation layers statistics and weights as training would, and switch to evaluation."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


TARGETS = ["crossd", "conv3d", "i3d", "acs", "conv2.5d"]
SOURCES = {"resnet": (ResNet18, 3), "unet": (UNet, 2)}


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "options", [{}, {"motion": "rotate", "view": "projection"}, {"alignment": "raw"}, {"alignment": "rest"}]
)
def test_2d_crossd_network_equals_its_source(source: str, options: dict) -> None:
    build, channels = SOURCES[source]
    network = lively(build())
    x = torch.randn(2, channels, 40, 40)
    converted = convert(network, to="crossd", spatial_dims=2, **options)
    torch.testing.assert_close(converted(x), network(x), atol=1e-5, rtol=1e-5)
    assert sum(isinstance(module, CrossDConv) for module in converted.modules()) > 3
    assert not any(isinstance(module, nn.Conv2d) for module in converted.modules())


def test_motion_can_still_be_learned_after_the_conversion() -> None:
    layer = convert(nn.Conv2d(2, 3, 3), to="crossd", spatial_dims=2)
    layer(torch.randn(4, 2, 9, 9)).square().sum().backward()
    assert layer.predictor[3].weight.grad[3].abs().sum() > 0


@pytest.mark.parametrize("to", ["crossd", "i3d"])
def test_volumes_that_are_one_image_repeated_give_the_2d_answer(to: str) -> None:
    """With `fill`/`mode` "mean" the response to a volume constant along depth is that of the image, inside."""
    options = {"crossd": {"fill": "mean", "alignment": "rest"}, "i3d": {"mode": "mean"}}[to]
    network = lively(nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 5)))
    image = torch.randn(1, 2, 12, 12)
    y = convert(network, to=to, **options)(image.unsqueeze(2).expand(-1, -1, 9, -1, -1))
    for depth in range(y.shape[2]):
        torch.testing.assert_close(y[:, :, depth], network(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("to", "options"), [("crossd", {}), ("crossd", {"motion": "rotate"}), ("i3d", {"mode": "centre"}), ("conv2.5d", {})]
)
def test_every_slice_gives_the_2d_answer(to: str, options: dict) -> None:
    network = lively(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1)))
    volume = torch.randn(1, 2, 4, 9, 9)
    y = convert(network, to=to, **options)(volume)
    for depth in range(4):
        torch.testing.assert_close(y[:, :, depth], network(volume[:, :, depth]), atol=1e-5, rtol=1e-5)


def test_acs_keeps_the_2d_state_dict() -> None:
    network = ResNet18()
    converted = convert(network, to="acs")
    assert isinstance(converted.conv1, ACSConv)
    for name, value in network.state_dict().items():
        assert torch.equal(converted.state_dict()[name], value), name


def test_i3d_and_planar_weights() -> None:
    network = ResNet18()
    weight = network.layer1[0].conv1.weight
    assert torch.equal(convert(network, to="i3d").layer1[0].conv1.weight, inflate_kernel(weight))
    assert torch.equal(convert(network, to="conv2.5d").layer1[0].conv1.weight, weight.unsqueeze(2))
    assert isinstance(convert(network, to="conv2.5d").conv1, Conv2_5d)


def test_conv3d_is_fresh_and_keeps_the_rest() -> None:
    network = lively(ResNet18())
    converted = convert(network, to="conv3d")
    assert not torch.equal(converted.conv1.weight[:, :, 3], network.conv1.weight)
    for name in (
        "bn1.weight",
        "bn1.running_var",
        "bn1.num_batches_tracked",
        "layer2.0.downsample.1.running_mean",
        "fc.weight",
    ):
        assert torch.equal(converted.state_dict()[name], network.state_dict()[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("to", TARGETS)
def test_whole_networks_run_train_copy_pickle_and_load(to: str, source: str) -> None:
    build, channels = SOURCES[source]
    network = build()
    before = _state(network)
    converted = convert(network, to=to)
    x = torch.randn(2, channels, 8, 16, 24)
    converted(x).square().mean().backward()
    assert all(p.grad is not None for p in converted.parameters() if p.requires_grad)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items()), "the source changed"
    assert network(x[:, :, 0]).dim() in (2, 4), "the source no longer takes images"

    converted.eval().requires_grad_(False)
    expected = converted(x)
    buffer = io.BytesIO()
    torch.save(converted, buffer)
    buffer.seek(0)
    torch.testing.assert_close(torch.load(buffer, weights_only=False)(x), expected)
    torch.testing.assert_close(copy.deepcopy(converted)(x), expected)
    with torch.jit.optimized_execution(False):
        torch.testing.assert_close(torch.jit.script(converted)(x), expected)
    other = convert(build(), to=to).eval()
    other.load_state_dict(converted.state_dict())
    torch.testing.assert_close(other(x), expected)


@pytest.mark.parametrize("to", ["crossd", "acs", "conv2.5d"])  # the others are torch's own layers
def test_networks_export_with_dynamic_sizes(to: str) -> None:
    network = nn.Sequential(
        nn.Conv2d(2, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1, groups=2)
    )
    converted, size = convert(network, to=to).eval(), torch.export.Dim.AUTO
    program = torch.export.export(
        converted, (torch.randn(2, 2, 8, 9, 10),), dynamic_shapes=({0: size, 2: size, 3: size, 4: size},)
    )
    other = torch.randn(3, 2, 11, 13, 16)
    torch.testing.assert_close(program.module()(other), converted(other), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("to", TARGETS)
def test_a_single_layer_is_converted(to: str) -> None:
    layer = nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3)
    converted = convert(layer, to=to)
    assert converted(torch.randn(1, 3, 8, 8, 8)).shape == (1, 6, 4, 4, 4)
    assert not isinstance(converted, nn.Conv2d)
    assert type(layer) is nn.Conv2d


@pytest.mark.parametrize("to", TARGETS)
def test_shared_modules_stay_shared(to: str) -> None:
    converted = convert(UNet(), to=to)
    assert converted.again is converted.decode
    twice = nn.Conv2d(4, 4, 3, padding=1)
    sequence = convert(nn.Sequential(twice, nn.ReLU(), twice), to=to)
    assert sequence[0] is sequence[2]


def test_tied_parameters_stay_tied() -> None:
    first, second = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, dilation=2)
    second.weight = first.weight
    converted = convert(nn.Sequential(first, second), to="i3d")
    assert converted[0].weight is converted[1].weight
    assert converted[0].bias is not converted[1].bias


def test_mode_dtype_and_frozen_parameters_are_carried_over() -> None:
    network = ResNet18().double().eval()
    network.conv1.weight.requires_grad_(False)
    converted = convert(network, to="crossd", alignment="dynamic")
    assert not converted.conv1.weight.requires_grad
    assert not converted.conv1.predictor[0].weight.requires_grad
    assert converted.layer1[0].conv1.predictor[0].weight.requires_grad
    assert converted.conv1.weight.dtype == torch.float64
    assert not any(module.training for module in converted.modules())


def test_layer_options_pass_through() -> None:
    layer = convert(ResNet18(), motion="rotate", view="projection", alignment="rest", momentum=0.5).layer1[0].conv1
    assert (layer.motion, layer.view, layer.alignment, layer.momentum) == ("rotate", "projection", "rest", 0.5)


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize(
    ("kernel_size", "options"),
    [
        (3, {"padding": 1, "stride": 2, "max_angle": 3.0}),
        (4, {"padding": "same"}),
        (3, {"padding": 2, "dilation": 2, "padding_mode": "circular"}),
        (3, {"padding": "valid", "groups": 2, "bias": False}),
    ],
    ids=str,
)
def test_a_crossd_layer_keeps_its_arguments(kernel_size: int, options: dict, spatial_dims: int) -> None:
    layer = CrossDConv(2, 2, 4, kernel_size, **options)
    layer.through_plane = 1
    again = convert(layer, to="crossd", spatial_dims=spatial_dims)
    expected = CrossDConv(spatial_dims, 2, 4, kernel_size, **options)
    assert repr(again) == repr(expected)
    assert again.predictor.max_angle == layer.predictor.max_angle
    assert again.through_plane == (1 if spatial_dims == 2 else 0)
    expected.load_state_dict(layer.state_dict())
    volume = torch.randn(2, 2, *[7] * spatial_dims)
    if spatial_dims == 2:
        expected.through_plane = 1
    torch.testing.assert_close(again(volume), expected(volume))


def test_2d_crossd_network_becomes_the_3d_one_with_the_same_weights() -> None:
    flat = convert(UNet(), spatial_dims=2, motion="rotate")
    with torch.no_grad():
        for module in flat.modules():
            if isinstance(module, CrossDConv) and module.predictor is not None:
                module.running_motion.normal_(0, 0.3)
    volume = convert(flat)
    assert volume.decode.alignment == "running"
    assert volume.decode.motion == "rotate"
    for name, value in flat.state_dict().items():
        assert torch.equal(volume.state_dict()[name], value), name
    x = torch.randn(1, 6, 5, 6, 7)
    y = F.conv3d(F.pad(x, [1] * 6, "circular"), volume.decode.kernel(), volume.decode.bias)
    torch.testing.assert_close(volume.decode(x), y)


def test_folds_to_plain_convolutions() -> None:
    network = lively(ResNet18())
    volume = torch.randn(1, 3, 16, 16, 16)
    crossd = convert(network)
    torch.testing.assert_close(fold(crossd)(volume), crossd(volume), atol=1e-5, rtol=1e-5)
    image = torch.randn(1, 3, 32, 32)
    flat = set_alignment(convert(network, spatial_dims=2), "running")
    torch.testing.assert_close(fold(flat)(image), network(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("to", ["crossd", "acs"])
def test_monai_networks_of_plain_convolutions(to: str) -> None:
    dense = DenseNet(2, 1, 3, init_features=8, growth_rate=4, block_config=(2, 2))
    assert convert(dense, to=to)(torch.randn(2, 1, 16, 16, 16)).shape == (2, 3)
    efficient = EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=2, in_channels=1, num_classes=3)
    assert convert(efficient, to=to).eval()(torch.randn(1, 1, 32, 32, 32)).shape == (1, 3)


TWINS = [
    (nn.MaxPool2d((2, 2), ceil_mode=True), nn.MaxPool3d(2, ceil_mode=True)),
    (nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.AvgPool3d(3, 2, 1, count_include_pad=False)),
    (nn.LPPool2d(2, 3, 2), nn.LPPool3d(2, 3, 2)),
    (nn.AdaptiveAvgPool2d((3, 3)), nn.AdaptiveAvgPool3d(3)),
    (nn.AdaptiveMaxPool2d(1), nn.AdaptiveMaxPool3d(1)),
    (nn.Upsample(scale_factor=(2, 2), mode="bilinear"), nn.Upsample(scale_factor=2, mode="trilinear")),
    (nn.UpsamplingBilinear2d(scale_factor=2), nn.Upsample(scale_factor=2, mode="trilinear", align_corners=True)),
    (nn.UpsamplingNearest2d(size=(9, 9)), nn.Upsample(size=9)),
    (nn.ZeroPad2d(1), nn.ZeroPad3d(1)),
    (nn.ConstantPad2d((0, 1, 0, 1), 2.0), nn.ConstantPad3d((0, 1, 0, 1, 0, 1), 2.0)),
    (nn.ReplicationPad2d(2), nn.ReplicationPad3d(2)),
    (nn.CircularPad2d(1), nn.CircularPad3d(1)),
    (nn.InstanceNorm2d(4), nn.InstanceNorm3d(4)),
    (nn.Softmax2d(), nn.Softmax(1)),
    (nn.GroupNorm(2, 4), nn.GroupNorm(2, 4)),
]


@pytest.mark.parametrize(("flat", "volume"), TWINS, ids=lambda module: type(module).__name__)
def test_layers_become_their_3d_twins(flat: nn.Module, volume: nn.Module) -> None:
    converted = convert(nn.Sequential(flat, nn.Conv2d(4, 1, 1)), to="conv3d")[0]
    x = torch.randn(2, 4, 7, 8, 9)
    assert type(converted) is type(volume)
    torch.testing.assert_close(converted(x), volume(x))


def test_kernels_one_slice_deep_get_no_padding_along_depth() -> None:
    network = nn.Sequential(nn.ReflectionPad2d((1, 1, 2, 2)), nn.Conv2d(2, 3, (5, 3)))
    volume = torch.randn(1, 2, 4, 7, 8)
    y = convert(network, to="conv2.5d")(volume)
    for depth in range(4):
        torch.testing.assert_close(y[:, :, depth], network(volume[:, :, depth]))


def test_transposed_convolutions_stay_in_2d_and_are_fresh_in_conv3d() -> None:
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ConvTranspose2d(4, 2, 3, 2, 1, 1))
    image = torch.randn(1, 2, 9, 9)
    torch.testing.assert_close(convert(network, spatial_dims=2)(image), network(image), atol=1e-5, rtol=1e-5)
    assert convert(network, to="conv3d")(torch.randn(1, 2, 7, 8, 9)).shape == (1, 2, 10, 12, 14)
