"""`CrossDEfficientNetLite`: EfficientNet-Lite as it was published, in 2D and 3D from one state dict."""

from __future__ import annotations

import io
import warnings

import monai.networks.nets
import pytest
import torch
import torch.nn.functional as F
from crossd import CrossDConv, CrossDEfficientNetLite, CrossDError, CrossDUNet, convert, fold, load_pretrained
from crossd.inference.backends import Accelerated
from crossd.networks import PlainEfficientNetLite, build_classifier, classifier_arguments
from crossd.networks.lite_blocks import channels_last, same_padded

LITE = {"name": "CrossDEfficientNetLite"}


def as_tensorflow_pads(size, kernel, stride):
    """TensorFlow's documentation of "SAME": zeros at the beginning and at the end of an axis."""
    total = max(kernel - stride, 0) if size % stride == 0 else max(kernel - size % stride, 0)
    return total // 2, total - total // 2


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_is_tensorflows_for_odd_and_even_sizes(kernel, stride):
    x = torch.rand(1, 1, 4, 7, 12)
    pads = [side for size in (12, 7, 4) for side in as_tensorflow_pads(size, kernel, stride)]
    padded = same_padded(x, kernel, stride)
    assert torch.equal(padded, F.pad(x, pads))
    out = F.conv3d(padded, torch.ones(1, 1, kernel, kernel, kernel), stride=stride)
    assert tuple(out.shape[2:]) == tuple(-(-size // stride) for size in (4, 7, 12))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_smallest_volumes_have_an_answer(size):
    network = CrossDEfficientNetLite(3, 1, 2).eval()
    assert network(torch.rand(1, 1, size, 9, size)).isfinite().all()


def test_spatial_layers_are_cross_d_with_every_option_and_pointwise_ones_do_not_move():
    options = {"alignment": "rest", "motion": "rotate", "view": "projection", "momentum": 0.2, "max_angle": 1.0}
    layers = {n: m for n, m in CrossDEfficientNetLite(2, 3, 5, **options).named_modules() if isinstance(m, CrossDConv)}
    moving = {name for name, layer in layers.items() if layer.predictor is not None}
    assert moving == {name for name in layers if name.endswith(("conv_stem", "conv_dw"))}
    assert len(moving) == 17
    for name in moving:
        layer = layers[name]
        assert (layer.alignment, layer.motion, layer.view, layer.momentum) == ("rest", "rotate", "projection", 0.2)
        assert layer.predictor.max_angle == 1.0
    assert {layer.kernel_size for name, layer in layers.items() if name not in moving} == {(1, 1)}


@pytest.mark.parametrize("variant", ["lite0", "lite1", "lite2"])
def test_one_state_dict_serves_images_and_volumes(variant):
    with torch.device("meta"):
        images, volumes = (CrossDEfficientNetLite(dims, 3, 5, variant) for dims in (2, 3))
    volumes.load_state_dict(images.state_dict(), assign=True)
    assert monai.networks.nets.CrossDEfficientNetLite is CrossDEfficientNetLite


@pytest.mark.parametrize("dims", [2, 3])
def test_what_is_shown_is_what_classifies(dims):
    network = CrossDEfficientNetLite(dims, 1, 3).eval()
    x = torch.rand(2, 1, *[33, 32, 40][:dims])
    maps = network.feature_maps(x)
    assert tuple(one.shape[1] for one in maps) == network.feature_channels
    for one, stride in zip(maps, network.feature_strides, strict=True):
        assert tuple(one.shape[2:]) == tuple(-(-size // stride) for size in x.shape[2:])
    final = network.final_map(x)
    assert final.shape[1] == network.num_features
    assert torch.allclose(final.flatten(2).mean(2), network.pooled_features(x), atol=1e-6)
    assert torch.allclose(network.fc(network.pooled_features(x)), network(x), atol=1e-6)


def test_depthwise_kernels_start_at_the_size_that_keeps_variance():
    for network in (CrossDEfficientNetLite(3, 1, 2), PlainEfficientNetLite(3, 1, 2)):
        layer = network.blocks[3][1].conv_dw
        assert float(layer.weight.detach().std()) == pytest.approx((2 / 27) ** 0.5, rel=0.05)


@pytest.mark.slow
def test_folds_scripts_and_runs_traced_at_other_sizes_than_it_was_traced_with():
    network = CrossDEfficientNetLite(3, 1, 3).eval()
    with torch.no_grad(), torch.jit.optimized_execution(False):
        scripted, fast = torch.jit.script(fold(network)), Accelerated(network)
        fast(torch.rand(1, 1, 19, 18, 21))
        assert fast.chosen == "torchscript"
        for shape in ((2, 1, 20, 17, 33), (1, 1, 16, 16, 16)):
            expected = network(x := torch.rand(shape))
            assert torch.allclose(scripted(x), expected, atol=1e-5)
            assert torch.allclose(fast(x), expected, atol=1e-4)


def test_a_converted_2d_network_is_the_3d_one():
    images = CrossDEfficientNetLite(2, 1, 3).eval()
    volumes = CrossDEfficientNetLite(3, 1, 3).eval()
    volumes.load_state_dict(images.state_dict())
    x = torch.rand(1, 1, 15, 16, 17)
    assert torch.allclose(convert(images)(x), volumes(x), atol=1e-5)


def test_onnx_knows_no_order_in_memory():
    class Ordered(torch.nn.Module):
        def forward(self, x):
            return channels_last(x) * 2

    pytest.importorskip("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Ordered(), (torch.rand(1, 4, 5, 5, 5),), io.BytesIO(), dynamo=False)


@pytest.mark.slow
def test_encoder_of_a_unet_takes_its_classifiers_weights():
    classifier = CrossDEfficientNetLite(2, 1, 3)
    network = CrossDUNet(3, 1, 2, encoder="lite0").eval()
    report = load_pretrained(network, classifier.state_dict())
    assert {name.split(".")[0] for name in report.missing} == {"decoder", "heads"}
    assert {name.split(".")[0] for name in report.unused} == {"conv_head", "bn2", "fc"}
    weights = network.encoder.blocks[6][0].conv_dw.weight
    assert torch.equal(weights, classifier.blocks[6][0].conv_dw.weight)
    x = torch.rand(1, 1, 30, 33, 20)
    with torch.no_grad(), torch.jit.optimized_execution(False):
        assert (answer := network(x)).shape == (1, 2, 30, 33, 20)
        assert torch.allclose(torch.jit.script(fold(network))(x), answer, atol=1e-5)


def test_networks_by_name():
    assert classifier_arguments({}, {"network": "LITE2"}) == {**LITE, "variant": "lite2"}
    assert classifier_arguments({**LITE, "variant": "lite1"}, {"network": None, "depth": None}) == {
        **LITE,
        "variant": "lite1",
    }
    assert classifier_arguments({**LITE, "variant": "lite1"}, {"network": "CrossDResNet", "depth": 10}) == {"depth": 10}
    plain = build_classifier({**LITE, "conv": "plain", "spatial_dims": 2, "in_channels": 3, "num_classes": 2})
    assert type(plain) is PlainEfficientNetLite


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CrossDEfficientNetLite(1, 1, 2), "`spatial_dims` must be one of 2, 3; got 1"),
        (lambda: CrossDEfficientNetLite(2, 1, 2, "lite3"), "`variant` must be one of 'lite0', .*; got 'lite3'"),
        (lambda: CrossDEfficientNetLite(2, 1, 2, angle=3), "takes the options alignment, .*; got angle"),
        (lambda: classifier_arguments({}, {"network": "lite9"}), r"`network` must be one of .*; got 'lite9'\. Did you"),
        (
            lambda: build_classifier({**LITE, "depth": 18, "spatial_dims": 2, "in_channels": 1, "num_classes": 2}),
            r"CrossDEfficientNetLite takes spatial_dims, .*, variant, .*max_angle; got depth\. Leave these out",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(CrossDError, match=message):
        make()
