"""Any MONAI network is built from the layer by one context manager, which leaves nothing behind."""

from __future__ import annotations

import copy
import pickle
import threading

import crossd
import monai.networks.nets as nets
import pytest
import torch
from crossd import CrossDConv, CrossDConv2d, CrossDConv3d, CrossDError, crossd_convs
from monai.networks.layers import Conv
from torch import nn

NETWORKS = {
    "ResNet": lambda dims: nets.resnet18(spatial_dims=dims, n_input_channels=1, num_classes=2),
    "DenseNet121": lambda dims: nets.DenseNet121(dims, 1, 2, init_features=8, growth_rate=4),
    "EfficientNet": lambda dims: nets.EfficientNetBN(
        "efficientnet-b0", spatial_dims=dims, in_channels=1, num_classes=2, pretrained=False
    ),
    "SEResNet50": lambda dims: nets.SEResNet50(spatial_dims=dims, in_channels=1, num_classes=2),
    "UNet": lambda dims: nets.UNet(dims, 1, 2, channels=(4, 8, 16), strides=(2, 2)),
    "SegResNet": lambda dims: nets.SegResNet(
        dims, init_filters=8, in_channels=1, out_channels=2, upsample_mode="nontrainable"
    ),
}
TRANSPOSED = {"UNet"}


def test_factory_entry():
    assert Conv["crossd", 2] is CrossDConv2d
    assert Conv["crossd", 3] is CrossDConv3d
    assert Conv[Conv.CROSSD, 3] is CrossDConv3d
    with pytest.raises(CrossDError, match="exists for spatial_dims 2 and 3; got 1"):
        Conv["crossd", 1]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "SEResNet50" else name for name in NETWORKS]
)
def test_any_monai_network(name):
    built = {}
    for dims in (2, 3):
        with crossd_convs():
            built[dims] = NETWORKS[name](dims).eval()
        plain = [m for m in built[dims].modules() if type(m) in (nn.Conv2d, nn.Conv3d)]
        assert not plain
        assert sum(isinstance(m, CrossDConv) for m in built[dims].modules()) >= 3
        with torch.no_grad():
            answer = built[dims](torch.randn(1, 1, *[32] * dims))
        assert torch.isfinite(answer).all()
    if name in TRANSPOSED:  # transposed convolutions have no counterpart and stay
        kinds = {type(m) for m in built[3].modules()}
        assert nn.ConvTranspose3d in kinds
    else:
        assert built[3].load_state_dict(built[2].state_dict()) is not None
    assert Conv["conv", 3] is nn.Conv3d


def test_options_reach_every_layer_and_nest():
    with crossd_convs(motion="rotate", view="projection"):
        outer = nets.UNet(2, 1, 2, channels=(4, 8), strides=(2,))
        with crossd_convs(alignment="rest"):
            inner = CrossDConv2d(1, 1, 3)
        again = CrossDConv2d(1, 1, 3)
    assert {m.motion for m in outer.modules() if isinstance(m, CrossDConv)} == {"rotate"}
    assert (inner.alignment, inner.motion) == ("rest", "shift")
    assert (again.motion, again.view) == ("rotate", "projection")
    assert CrossDConv2d(1, 1, 3).motion == "shift"


def test_the_factory_is_restored_after_an_error():
    before = Conv.components["CONV"]
    with pytest.raises(RuntimeError, match="inside"), crossd_convs():
        raise RuntimeError("inside")
    assert Conv.components["CONV"] is before
    with (
        pytest.raises(CrossDError, match="takes the options alignment, motion, view, momentum, max_angle; got angle"),
        crossd_convs(angle=1),
    ):
        pass
    assert Conv.components["CONV"] is before


def test_other_threads_keep_monais_layers():
    inside, done, seen = threading.Event(), threading.Event(), []

    def other():
        inside.wait()
        seen.append(Conv["conv", 3])
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with crossd_convs():
        inside.set()
        done.wait()
        assert Conv["conv", 3] is CrossDConv3d
        assert Conv["conv", 1] is nn.Conv1d
    thread.join()
    assert seen == [nn.Conv3d]


def test_overlapping_contexts_of_threads_restore_the_factory():
    before = Conv.components["CONV"]
    barrier = threading.Barrier(4)

    def build(results, index):
        with crossd_convs(alignment="rest"):
            barrier.wait()
            results[index] = Conv["conv", 2]
        barrier.wait()

    results = [None] * 4
    threads = [threading.Thread(target=build, args=(results, i)) for i in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert results == [CrossDConv2d] * 4
    assert Conv.components["CONV"] is before


def test_networks_are_ordinary_modules():
    with crossd_convs(alignment="running"):
        network = nets.SegResNet(3, init_filters=8, in_channels=1, out_channels=2, upsample_mode="nontrainable").eval()
    x = torch.randn(1, 1, 16, 16, 16)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), crossd.fold(network)):
        torch.testing.assert_close(other(x), network(x), atol=1e-5, rtol=1e-4)
    assert network.convInit.conv.alignment == "running"
